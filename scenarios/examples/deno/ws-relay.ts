// ws-relay: rooms. What one member sends goes to all others who are in the room, in
// this process.
//
// As in the guide, rooms are a map in memory: members whom a load balancer has sent to
// another process, or the platform to another isolate, are in another room of the same
// name. Nothing tells them.

const rooms = new Map<string, Set<WebSocket>>();

export function wsRelay(req: Request): Response {
  if (req.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return new Response("WebSocket upgrade required", { status: 426 });
  }
  const room = new URL(req.url).searchParams.get("room") ?? "default";
  const { socket, response } = Deno.upgradeWebSocket(req);

  // A member is in its room from here on: a moment after the client has its 101.
  socket.onopen = () => {
    const members = rooms.get(room) ?? new Set<WebSocket>();
    rooms.set(room, members.add(socket));
  };
  socket.onmessage = ({ data }) => {
    for (const peer of rooms.get(room) ?? []) {
      if (peer !== socket && peer.readyState === WebSocket.OPEN) peer.send(data);
    }
  };
  socket.onclose = () => {
    const members = rooms.get(room);
    members?.delete(socket);
    if (members?.size === 0) rooms.delete(room);
  };
  socket.onerror = () => {}; // close follows, and does what there is to do
  return response;
}
