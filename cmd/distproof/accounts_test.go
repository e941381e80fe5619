package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAccounts pins what is said of recorded connections in the clear: the
// sentence, and the registered names, of which tshark shows references to the
// atom cache alone.
func TestAccounts(t *testing.T) {
	type names = map[string]uint64
	type account struct {
		Text  string
		Names names
	}
	for path, want := range map[string][]account{
		filepath.Join(pcapsDir, "plain"): {
			{"orders@n1.lab called erlang:node/0 on billing@n2.lab once in the clear", names{"rex": 2}},
		},
		filepath.Join(pcapsDir, "exposed_plain"): {
			{"intruder@n1.lab called erlang:node/0 on billing@n2.lab once in the clear", names{"rex": 2}},
		},
		filepath.Join(sharedDir, "otp25_plain_traffic"): {
			{"demo@n1.lab called erlang:byte_size/1 on demo@n2.lab 40 times, demo@n2.lab called os:getenv/1 on demo@n1.lab 3 times in the clear", names{"global_name_server": 12, "rex": 2}},
		},
		filepath.Join(sharedDir, "rabbitmq_plain"): {
			{
				"rabbit@n1 called mnesia_controller:call/1 on rabbit@n2 80 times, rabbit@n2 called mnesia_lib:set/2 on rabbit@n1 20 times, rabbit@n1 called rabbit_feature_flags:is_supported_locally/1 on rabbit@n2 7 times in the clear, and 11 more functions",
				names{"aten_sink": 325, "global_name_server": 15, "mnesia_controller": 173, "mnesia_locker": 44, "mnesia_recover": 113, "mnesia_rpc": 1, "mnesia_tm": 41, "pg": 2, "rabbit_alarm": 2, "rabbit_node_monitor": 7, "rex": 2},
			},
			{
				"rabbit@n1 called mnesia_controller:call/1 on rabbit@n3 40 times, rabbit@n3 called mnesia_lib:set/2 on rabbit@n1 20 times, rabbit@n1 called rabbit_feature_flags:is_supported_locally/1 on rabbit@n3 7 times in the clear, and 11 more functions",
				names{"aten_sink": 252, "global_name_server": 6, "mnesia_controller": 133, "mnesia_locker": 41, "mnesia_recover": 57, "mnesia_rpc": 1, "mnesia_tm": 40, "pg": 2, "rabbit_alarm": 2, "rabbit_node_monitor": 7, "rex": 2},
			},
			{
				"rabbit@n3 called rabbit_feature_flags:merge_feature_flags_from_unknown_apps/1 on rabbit@n2 twice, rabbit@n3 called mnesia_monitor:call/1 on rabbit@n2 twice, rabbit@n3 called mnesia_lib:is_running/0 on rabbit@n2 twice in the clear, and 3 more functions",
				names{"aten_sink": 253, "global_name_server": 12, "mnesia_controller": 13, "mnesia_locker": 40, "mnesia_recover": 57, "mnesia_tm": 38, "pg": 2, "rabbit_alarm": 2, "rabbit_node_monitor": 5, "rex": 2},
			},
			{"rabbitmqcli-910-rabbit@n1 called net_kernel:get_net_ticktime/0 on rabbit@n3 4 times, rabbitmqcli-910-rabbit@n1 called rabbit:alarms/0 on rabbit@n3 once, rabbitmqcli-910-rabbit@n1 called rabbit_networking:active_listeners/0 on rabbit@n3 once in the clear, and 2 more functions", names{}},
			{"rabbitmqcli-910-rabbit@n1 called net_kernel:get_net_ticktime/0 on rabbit@n2 4 times, rabbitmqcli-910-rabbit@n1 called rabbit:alarms/0 on rabbit@n2 once, rabbitmqcli-910-rabbit@n1 called rabbit_networking:active_listeners/0 on rabbit@n2 once in the clear, and 2 more functions", names{}},
		},
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if _, err := os.Stat(path + ".pcap"); err != nil && filepath.Dir(path) == filepath.Clean(sharedDir) {
				t.Skip("not one of the project's captures")
			}
			var got []account
			for _, c := range documentOfFile(t, path+".pcap").Connections {
				if c.Cleartext != nil {
					got = append(got, account{c.Cleartext.Account, c.Cleartext.RegisteredNames})
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
