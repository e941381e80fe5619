package decode_test

import (
	"testing"

	"distproof/decode"
)

func TestToolOf(t *testing.T) {
	for _, row := range []struct{ node, before, after string }{
		{"rabbitmqcli-843-rabbit@mq1", "rabbitmqcli-", "-rabbit@mq1"}, // RabbitMQ 3.10.8
		{"rabbitmqcli-99391-rabbit@warp10", "rabbitmqcli-", "-rabbit@warp10"},
		{"rabbitmq-cli-56@n1", "rabbitmq-cli-", "@n1"},
		{"rpc-31b0-demo@mq2.rab", "rpc-", "-demo@mq2.rab"}, // Elixir 1.14
		{"rem-0f3c-demo@n1.lab", "rem-", "-demo@n1.lab"},
		{"6ca-ctl-ejabberd@mq1", "", "-ctl-ejabberd@mq1"}, // ejabberd 23.01
		{"1f0-ping@n1", "", "-ping@n1"},
		{"remsh4711@127.0.0.1", "remsh", "@127.0.0.1"},

		{node: ""},
		{node: "rabbit@mq1"},
		{node: "rabbitmqcli-843"},
		{node: "rabbitmqcli-x-rabbit@mq1"},
		{node: "my-rabbitmqcli-1-rabbit@mq1"},
		{node: "rpc-orders@n1.lab"},
		{node: "rpc-server-1@n1.lab"},
		{node: "c1a-orders@n1.lab"},
		{node: "remsh@127.0.0.1"},
	} {
		got, ok := decode.ToolOf(row.node)
		if ok != (row.after != "") || got != (decode.ToolName{Before: row.before, After: row.after}) {
			t.Errorf("%q: %+v, %v", row.node, got, ok)
		}
	}
}
