package policy

import "distproof/verify"

// Keys returns all keys of policies, those of sections with the section's name
// before them.
func Keys() []string {
	out := []string{"version", "cookies", "severities", "fail_on", "exceptions"}
	for _, s := range sections() {
		out = append(out, s.name)
		for _, k := range s.keys {
			out = append(out, s.name+"."+k.name)
		}
	}
	for _, rule := range verify.Rules() {
		out = append(out, "severities."+string(rule))
	}
	for _, k := range new(reader).exceptionKeys(nil) {
		out = append(out, "exceptions."+k.name)
	}
	return out
}
