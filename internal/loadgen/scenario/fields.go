package scenario

import (
	"reflect"
	"strings"
)

// A field is where a key of the file lands in its struct.
type field struct {
	index    int
	required bool
}

// fieldsOf reads a struct's yaml tags: the key's name, and that it is required
// unless marked omitempty.
func fieldsOf(t reflect.Type) map[string]field {
	fields := make(map[string]field)
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = field{index: i, required: option != "omitempty"}
		}
	}
	return fields
}

// enumOf lists the values of a type that has a few known ones; nil for others.
func enumOf(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[Protocol]():
		return []string{string(SSE), string(WebSocket), string(HTTP), string(Background), string(Cron), string(Retry)}
	case reflect.TypeFor[Dialect]():
		return []string{string(DialectAuto), string(DialectAnthropic), string(DialectOpenAI), string(DialectText)}
	case reflect.TypeFor[Arrivals]():
		return []string{string(ArrivalsConstant), string(ArrivalsPoisson), string(ArrivalsGamma), string(ArrivalsBursty)}
	case reflect.TypeFor[Shape]():
		return []string{string(ShapeChat), string(ShapeCode), string(ShapeRAG), string(ShapeBursty)}
	case reflect.TypeFor[TraceFormat]():
		return []string{string(TraceAzure), string(TraceMooncake)}
	case reflect.TypeFor[TargetFormat]():
		return []string{string(TargetsHTTP), string(TargetsJSON)}
	case reflect.TypeFor[CronAnchor]():
		return []string{string(AnchorEpoch), string(AnchorFirst)}
	case reflect.TypeFor[Backoff]():
		return []string{
			string(BackoffGuide), string(BackoffFull), string(BackoffEqual), string(BackoffDecorrelated),
			string(BackoffExponential), string(BackoffConstant), string(BackoffNone),
		}
	case reflect.TypeFor[Speech]():
		return []string{string(SpeaksPlain), string(SpeaksRealtime), string(SpeaksCentrifugo)}
	case reflect.TypeFor[FeedOrder]():
		return []string{string(FeedSequential), string(FeedRandom)}
	}
	return nil
}

// formOf says in a message what a scalar of type t looks like.
func formOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[Duration]():
		return durationForm
	case reflect.TypeFor[Rate]():
		return rateForm
	case reflect.TypeFor[SizeDist]():
		return sizeForm
	case reflect.TypeFor[TimeDist]():
		return timeDistForm
	case reflect.TypeFor[ByteRate]():
		return byteRateForm
	case reflect.TypeFor[CountDist]():
		return countDistForm
	case reflect.TypeFor[Reply]():
		return replyForm
	case reflect.TypeFor[Share]():
		return shareForm
	case reflect.TypeFor[SourceRange]():
		return sourceForm
	case reflect.TypeFor[Threshold]():
		return thresholdForm
	case reflect.TypeFor[Status](), reflect.TypeFor[Statuses]():
		return statusForm
	case reflect.TypeFor[JSONPath]():
		return jsonPathForm
	}
	switch t.Kind() {
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number from 0"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	}
	if values := enumOf(t); values != nil {
		return "one of " + strings.Join(values, ", ")
	}
	return "text"
}
