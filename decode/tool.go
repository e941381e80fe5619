package decode

import (
	"regexp"
	"strings"
)

// toolNames are the names that command-line tools of products make up for
// themselves, a new one each time they run; the group is what changes.
var toolNames = []*regexp.Regexp{
	// RabbitMQ: rabbitmqctl and its like, until 3.6 and since.
	regexp.MustCompile(`^rabbitmq-cli-([0-9]+)@`),
	regexp.MustCompile(`^rabbitmqcli-([0-9]+)-.+@`),
	// Releases of Elixir: rpc and remote.
	regexp.MustCompile(`^(?:rpc|rem)-([0-9a-f]{1,5})-.+@`),
	// ejabberdctl.
	regexp.MustCompile(`^([0-9a-fA-F]{3})-(?:(?:ctl|debug|top)-.+|ping)@`),
	// CouchDB: remsh.
	regexp.MustCompile(`^remsh([0-9]+)@`),
}

// A ToolName is the name of a node that is a command-line tool: what is the same
// each time the tool runs. Names come off the wire: whoever has such a name need not
// be one.
type ToolName struct{ Before, After string }

// ToolOf takes the name of a node apart that has the form of such a tool's.
func ToolOf(node string) (t ToolName, ok bool) {
	for _, form := range toolNames {
		if at := form.FindStringSubmatchIndex(node); at != nil {
			return ToolName{node[:at[2]], node[at[3]:]}, true
		}
	}
	return t, false
}

// OfRabbitMQ reports whether the tool is one of RabbitMQ's, which listen on the
// node's port and 10,000, or on one of the ten behind it.
func (t ToolName) OfRabbitMQ() bool { return strings.HasPrefix(t.Before, "rabbitmq") }
