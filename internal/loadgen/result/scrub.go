package result

// Scrub puts everything in r that others than loadgen have written, or that quotes
// them, through with: the classes and examples of errors, which a server answered,
// and what is said of them. The scenario is scrubbed by its own Redacted.
func (r *Result) Scrub(with func(string) string) {
	for i := range r.Workloads {
		for j := range r.Workloads[i].Errors {
			e := &r.Workloads[i].Errors[j]
			e.Class, e.Example = with(e.Class), with(e.Example)
		}
	}
	for i := range r.Validity.Reasons {
		reason := &r.Validity.Reasons[i]
		reason.Detail, reason.Remedy = with(reason.Detail), with(reason.Remedy)
	}
	for i := range r.Warnings {
		r.Warnings[i] = with(r.Warnings[i])
	}
	if r.Resources != nil {
		r.Resources.Command = with(r.Resources.Command)
	}
}
