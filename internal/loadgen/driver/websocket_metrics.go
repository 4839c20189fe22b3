package driver

import (
	"github.com/edgeload/edgeload/internal/loadgen/engine"
	"github.com/edgeload/edgeload/internal/loadgen/result"
)

// Metrics of the websocket driver.
const (
	wsFanout engine.MetricID = iota
	wsSpread
	wsPublishLateness
	wsPublishWrite
	wsDeliveryRatio
	wsLossRatio
	wsExpected
	wsReceived
	wsLost
	wsDuplicated
	wsReordered
	wsUnexpected
	wsForeign
	wsComplete
	wsIncomplete
	wsPublished
	wsPublishFailed
	wsPublishUnplanned
	wsBytesIn
	wsBytesOut
	wsConnections
	wsConnectFailed
	wsConnectionsLost
	wsUncleanCloses
	wsConnectWait
	wsSetup
	wsDNS
	wsDial
	wsTLS
	wsUpgrade
	wsDeliveryLag
	wsLagNegative
	wsSendLag
	wsReadDelay
	wsCoalescedBound
	wsCoalesced
	wsUnstamped
	wsUnstampedSends
	wsUndecided
	wsEchoed
	wsControl
	wsJoin
	wsSlowFanout
	wsSlowExpected
	wsSlowReceived
	wsLeaves
	wsReturns
	wsStormCut
	wsStormBack
	wsStormAway
	wsStormMissed
	wsStormReturn
	wsStormRecovery
	wsStormSetup
	wsPings
	wsPongsMissed
	wsPingRTT
	wsBeats
	wsBeatsMissed
	wsBeatRTT
)

// wsMetrics declares what the websocket driver records. What has to do with a
// message counts when its planned instant lies in the measured part; what has to
// do with a connection counts over the whole run.
func wsMetrics() []engine.Metric {
	duration := func(name, help string) engine.Metric {
		return engine.Metric{Name: name, Kind: result.Histogram, Unit: result.Nanoseconds, Help: help}
	}
	count := func(name, help string) engine.Metric {
		return engine.Metric{Name: name, Kind: result.Counter, Unit: result.One, Help: help}
	}
	bytes := func(name, help string) engine.Metric {
		return engine.Metric{Name: name, Kind: result.Counter, Unit: result.Bytes, Help: help}
	}
	ratio := func(name string, num, den engine.MetricID, help string) engine.Metric {
		return engine.Metric{Name: name, Kind: result.Ratio, Unit: result.One, Num: num, Den: den, Help: help}
	}
	gauge := func(g engine.Gauge, m engine.Metric) engine.Metric {
		m.Gauge = g
		return m
	}

	return []engine.Metric{
		wsFanout:           duration("fanout", "receive − planned publish, one sample a receiver that does not read slowly"),
		wsSpread:           duration("spread", "last receiver − planned publish, one sample a message that reached all its receivers but those that read slowly"),
		wsPublishLateness:  gauge(engine.Lateness, duration("publish_lateness", "start of the write − planned publish, or − the end of the write before where that came later: the generator's own delay")),
		wsPublishWrite:     duration("publish_write", "time the write of a message took: long where the peer stops reading"),
		wsDeliveryRatio:    ratio("delivery_ratio", wsReceived, wsExpected, "received ÷ expected"),
		wsLossRatio:        ratio("loss_ratio", wsLost, wsExpected, "lost ÷ expected"),
		wsExpected:         count("expected", "sum over messages of the other members joined at the send"),
		wsReceived:         count("received", "expected deliveries that arrived, each counted once"),
		wsLost:             count("lost", "gaps in the sequence numbers a receiver should have seen"),
		wsDuplicated:       count("duplicated", "deliveries of a message the receiver already had"),
		wsReordered:        count("reordered", "deliveries that came after a higher number of the same publisher"),
		wsUnexpected:       count("unexpected", "deliveries of what was planned more than 5 s before the member joined, or to the sender itself where the relay is not to echo"),
		wsForeign:          count("foreign", "messages received that are none of this room's; where the relay speaks a protocol of its own, of another run or room"),
		wsComplete:         count("messages_complete", "messages that reached all their receivers but those that read slowly"),
		wsIncomplete:       count("messages_incomplete", "messages that did not"),
		wsPublished:        count("published", "messages sent"),
		wsPublishFailed:    count("publish_failed", "messages due whose publisher had no connection or whose write failed"),
		wsPublishUnplanned: count("publish_unplanned", "messages not sent because their room was not complete when they would have been due"),
		wsBytesIn:          bytes("bytes_in", "payload of this room's messages received"),
		wsBytesOut:         bytes("bytes_out", "payload sent"),
		wsConnections:      count("connections", "connections established"),
		wsConnectFailed:    count("connect_failed", "attempts of members that got no connection, or could not join"),
		wsConnectionsLost:  count("connections_lost", "connections that ended before the member left"),
		wsUncleanCloses:    count("unclean_closes", "connections whose peer did not answer the close in time"),
		wsConnectWait:      gauge(engine.ConnectWait, duration("connect_wait", "how long a member waited for its turn to connect, by the workload's connect; before setup")),
		wsSetup:            duration("setup", "start of dialling − upgraded connection"),
		wsDNS:              duration("dns", "name resolution, where there was one"),
		wsDial:             duration("dial", "TCP connect"),
		wsTLS:              duration("tls", "TLS handshake, where there was one"),
		wsUpgrade:          duration("upgrade", "WebSocket upgrade: request sent − 101 received"),
		wsDeliveryLag:      duration("delivery_lag", "frame received − written by the relay's own stamp, which is the error of fanout's receive instant; below 0 counts as 0"),
		wsLagNegative:      count("delivery_lag_negative", "frames received before they were written, by clocks that differ"),
		wsSendLag:          duration("send_lag", "last byte of a message handed to the device, by the kernel − planned publish, or − the end of the write before where that came later: the generator's own delay"),
		wsReadDelay:        gauge(engine.ReadDelay, duration("read_delay", "return of a socket read − the kernel's receive stamp: the generator's own delay, which is in no other figure")),
		wsCoalescedBound:   duration("coalesced_bound", "by how much each of the frames that shared a read may have come earlier than it is said to: that read − the one before"),
		wsCoalesced:        count("coalesced", "frames that shared a socket read with another"),
		wsUnstamped:        gauge(engine.Unstamped, count("unstamped", "socket reads without a usable kernel stamp, timed by their return")),
		wsUnstampedSends:   count("unstamped_sends", "samples of send_lag without a kernel stamp, timed by the return of the write"),
		wsUndecided:        count("undecided", "deliveries of what was sent around a member's join or leave: neither expected nor wrong"),
		wsEchoed:           count("echoed", "messages that came back to their sender, where the relay is to echo"),
		wsControl:          count("control", "messages of the relay's own protocol: acknowledgements, heartbeats' answers, errors"),
		wsJoin:             duration("join", "start of the first hello − the relay says that the member has joined; where its protocol does"),
		wsSlowFanout:       duration("fanout{reader=slow}", "taken by a member that reads slowly − planned publish"),
		wsSlowExpected:     count("slow_expected", "of expected: deliveries to members that read slowly"),
		wsSlowReceived:     count("slow_received", "of received: by members that read slowly"),
		wsLeaves:           count("leaves", "times that a member left to come back"),
		wsReturns:          count("returns", "times that one came back"),
		wsStormCut:         count("storm_cut", "connections that the storm cut"),
		wsStormBack:        count("storm_back", "members that came back from it"),
		wsStormAway:        count("storm_away", "members that did not, until the run stopped"),
		wsStormMissed:      count("storm_missed", "messages that members did not get which were sent from four times settle before the storm cut them until they had settled again: not expected"),
		wsStormReturn:      duration("storm_return", "a member's connection cut − joined again"),
		wsStormRecovery:    duration("storm_recovery", "the storm − the last member joined again; one sample, where all came back"),
		wsStormSetup:       duration("setup{when=storm}", "start of dialling − upgraded connection, of the members that the storm cut"),
		wsPings:            count("pings", "WebSocket pings sent"),
		wsPongsMissed:      count("pongs_missed", "pings without a pong when the next was due"),
		wsPingRTT:          duration("ping_rtt", "ping written − its pong received"),
		wsBeats:            count("heartbeats", "heartbeats of the relay's own protocol sent"),
		wsBeatsMissed:      count("heartbeats_missed", "heartbeats without their answer when the next was due"),
		wsBeatRTT:          duration("heartbeat_rtt", "heartbeat written − its answer received"),
	}
}
