package dist

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"distproof/internal/wireshark"
)

// calls is a recording of two nodes of OTP 25 and of erl_call, a C node. One
// node made the other run what TestRecordedCalls lists, and sent it all that a
// program can send.
const calls = "testdata/otp25_calls.pcap"

func TestRecordedCalls(t *testing.T) {
	all := connections(t, calls)
	if len(all) != 3 {
		t.Fatalf("%d connections", len(all))
	}
	client, server := decodeParts(Midstream, all[0].parts[0], whole), decodeParts(Midstream, all[0].parts[1], whole)
	want := map[Call]uint64{
		{ByERPC, "lab:ret/1"}: 1, {ByERPC, "os:getenv/1"}: 3, {ByERPC, "lists:sum/1"}: 1, {ByERPC, "erlang:system_info/1"}: 1, // rpc:call, rpc:cast, rpc:multicall
		{ByERPC, "lists:seq/2"}: 1, {ByERPC, "lists:reverse/1"}: 1, {ByERPC, "erlang:node/0"}: 1, // erpc:call, erpc:cast, erpc:multicall
		{ByERPC, "erlang:apply/2"}: 1, // of a fun
		{ByERPC, "lab:mkalias/0"}:  1, {ByERPC, "file:read_file/1"}: 1, {ByERPC, "erlang:set_cookie/2"}: 1, {ByERPC, "code:load_binary/3"}: 1,
		{ByRPC, "os:cmd/1"}:      1,                              // rpc:block_call
		{ByRPC, "lists:max/1"}:   1,                              // as C nodes do it
		{BySpawn, "lists:min/1"}: 1, {BySpawn, "lists:nth/2"}: 1, // as nodes before OTP 23 do it
		{BySpawn, "lab:echo/0"}: 4, {BySpawn, "erlang:apply/2"}: 1,
		{ByRequest, "code_server:load_binary"}: 1, {ByRequest, "file_server_2:get_cwd"}: 1, {ByRequest, "kernel_safe_sup:start_child"}: 1,
	}
	got := make(map[Call]uint64)
	for c, u := range client.Calls {
		got[c] = u.Count
	}
	if !reflect.DeepEqual(got, want) || client.UnnamedCalls != 0 || len(server.Calls) != 0 {
		t.Errorf("calls: %v, want %v; %d unknown", got, want, client.UnnamedCalls)
	}
	if u := client.Calls[Call{ByERPC, "os:getenv/1"}]; u.First.Frame.Number != 52 || u.Last.Frame.Number != 60 {
		t.Errorf("os:getenv is called in frames %d to %d", u.First.Frame.Number, u.Last.Frame.Number)
	}
	long := strings.Repeat("é", 255)
	if n := client.RegisteredNames; n[long] != 2 || n["name3"] != 1 || n["rex"] != 4 || n["net_kernel"] != 3 || client.Unnamed != 0 {
		t.Errorf("names: %v, %d unknown", n, client.Unnamed)
	}
	for i, want := range []string{"os:getenv/1", "erlang:halt/0"} {
		f := decodeParts(Midstream, all[i+1].parts[0], whole)
		if f.PassThrough != 1 || f.Calls[Call{ByRPC, want}].Count != 1 || !strings.HasPrefix(f.Handshake.Name, "c17@") {
			t.Errorf("C node: %+v", f)
		}
	}
}

// TestPartOfRecording begins in the middle of the recording: what is told must
// be a part of what the whole tells, with atoms unknown, but none wrong.
func TestPartOfRecording(t *testing.T) {
	parts := connections(t, calls)[0].parts[0]
	full := decodeParts(Midstream, parts, whole)
	unknown := 0
	for i := range parts {
		f := decodeParts(Midstream, parts[i:], whole)
		for name, n := range f.RegisteredNames {
			if n > full.RegisteredNames[name] {
				t.Errorf("from part %d: %q %d times, of %d", i, name, n, full.RegisteredNames[name])
			}
		}
		for c, u := range f.Calls {
			if u.Count > full.Calls[c].Count || u.Last != full.Calls[c].Last {
				t.Errorf("from part %d: %v %+v, of %+v", i, c, u, full.Calls[c])
			}
		}
		unknown += int(f.UnnamedCalls + f.Unnamed)
	}
	if unknown == 0 {
		t.Error("every atom is known")
	}
}

// TestLossyRecording takes parts of the recording away, and cuts it in pieces:
// what is left may say less, but not something else.
func TestLossyRecording(t *testing.T) {
	for side, parts := range connections(t, calls)[0].parts {
		full := decodeParts(Midstream, parts, whole)
		for _, n := range []int{1, 7, 100} {
			if got := decodeParts(Midstream, parts, n); !reflect.DeepEqual(got, full) {
				t.Errorf("side %d, in pieces of %d:\n got %+v\nwant %+v", side, n, got, full)
			}
		}
		for k := range parts {
			lossy := append([]part(nil), parts...)
			lossy[k] = part{at: parts[k].at, gap: parts[k].gap + int64(len(parts[k].b))}
			got := decodeParts(Midstream, lossy, whole)
			weaker(t, full, got, "side %d without part %d", side, k)
			for c, u := range got.Calls {
				if u.Count > full.Calls[c].Count {
					t.Errorf("side %d without part %d: %v %d times, of %d", side, k, c, u.Count, full.Calls[c].Count)
				}
			}
			// The next messages are found again.
			var n, all uint64
			for op := range full.Messages {
				n, all = n+got.Messages[op], all+full.Messages[op]
			}
			if got.Recognition == ByHandshake && n+20 < all {
				t.Errorf("side %d without part %d: %d of %d messages", side, k, n, all)
			}
		}
	}
}

// TestAccounts: every byte of recorded sessions belongs to something.
func TestAccounts(t *testing.T) {
	check := func(t *testing.T, path string) {
		for i, c := range connections(t, path) {
			for side, parts := range c.parts {
				f := decodeParts(Midstream, parts, whole)
				if f.Recognition != ByHandshake || f.Missing > 0 || !f.Connected || f.RecognisedAt.Offset > 0 {
					continue
				}
				n := 4 * f.Ticks.Count
				for _, k := range f.MessageBytes {
					n += k
				}
				// The handshake's messages have these lengths in version 6.
				h := f.Handshake
				n += uint64(2 + 15 + len(h.RawName))
				if f.Role == Server {
					n += uint64(2 + 1 + len(h.Status) + 4 + 2 + ackLength)
					if h.GivenName != "" { // ":", its length, itself and its creation
						n += uint64(1 + 2 + len(h.GivenName) + 4)
					}
				} else {
					n += 2 + replyLength
				}
				if n != uint64(f.Bytes) || f.Unnamed+f.UnnamedCalls+f.LostFragments+f.Messages[Unknown] > 0 {
					t.Errorf("connection %d, side %d: %d of %d bytes: %+v", i, side, n, f.Bytes, f)
				}
			}
		}
	}
	eachCapture(t, "plain", check)
	t.Run(calls, func(t *testing.T) { check(t, calls) })
}

// TestAsTshark compares the operations with those that tshark's dissector
// shows.
func TestAsTshark(t *testing.T) {
	tshark := wireshark.Tool(t, "tshark")
	compare := func(t *testing.T, path string) {
		ours := make(map[string]uint64)
		for _, c := range connections(t, path) {
			for _, parts := range c.parts {
				f := decodeParts(Midstream, parts, whole)
				for op, n := range f.Messages {
					ours[op] += n
				}
			}
		}
		theirs := tsharkOperations(t, tshark, path)
		if len(theirs) == 0 || !reflect.DeepEqual(ours, theirs) {
			t.Errorf("got %v\ntshark %v", ours, theirs)
		}
	}
	t.Run(calls, func(t *testing.T) { compare(t, calls) })
	t.Run("guests_plain", func(t *testing.T) { compare(t, filepath.Join(captureDirs[0], "guests_plain.pcap")) })
	if testing.Short() {
		return // two recordings only
	}
	for _, name := range []string{
		"plain.pcap", "exposed_plain.pcap", "mixed.pcap",
		"otp25_plain_traffic.pcap", "otp25_plain.pcap", "otp25_plain_v6.pcap", "otp25_plain_port9000.pcap", "otp25_any_plain.pcap", "otp27_plain.pcap", "rabbitmq_plain.pcap",
	} {
		for _, dir := range captureDirs {
			if path := filepath.Join(dir, name); exists(path) {
				t.Run(name, func(t *testing.T) { compare(t, path) })
			}
		}
	}
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// tsharkOperations counts control messages in tshark's description of packets:
//
//	ControlMessage
//	    Tag: SMALL_TUPLE_EXT (104)
//	    Arity: 4
//	    SMALL_INTEGER_EXT: 6
func tsharkOperations(t *testing.T, tshark, path string) map[string]uint64 {
	t.Helper()
	args := []string{"-r", path, "-V", "-O", "erldp"}
	// Distribution has no port of its own.
	for _, port := range distPorts(t, tshark, path) {
		args = append(args, "-d", "tcp.port=="+port+",erldp")
	}
	out, err := exec.Command(tshark, args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]uint64)
	inControl := false
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "ControlMessage":
			inControl = true
		case inControl && strings.HasPrefix(line, "SMALL_INTEGER_EXT: "):
			n, _ := strconv.Atoi(strings.TrimPrefix(line, "SMALL_INTEGER_EXT: "))
			if n < len(operations) {
				counts[operations[n].name]++
			}
			inControl = false
		}
	}
	return counts
}

// distPorts returns the ports on which distribution in the clear was dialled: as
// the truth has it, or else all but the port mapper's.
func distPorts(t *testing.T, tshark, path string) []string {
	t.Helper()
	if ports := clearPorts(t, path); len(ports) > 0 {
		return ports
	}
	out, err := exec.Command(tshark, "-r", path, "-Y", "tcp.flags.syn==1 && tcp.flags.ack==0", "-T", "fields", "-e", "tcp.dstport").Output()
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	seen := map[string]bool{"4369": true}
	for _, port := range strings.Fields(string(out)) {
		if !seen[port] {
			seen[port] = true
			ports = append(ports, port)
		}
	}
	return ports
}

// clearPorts returns the ports of distribution in the clear of a capture whose
// truth is known.
func clearPorts(t *testing.T, path string) []string {
	t.Helper()
	var truth map[string]struct {
		Connections []struct {
			Protocol   string
			ServerPort int `json:"server_port"`
		}
	}
	data, err := os.ReadFile(filepath.Join(captureDirs[0], "truth.json"))
	if err == nil {
		err = json.Unmarshal(data, &truth)
	}
	if err != nil {
		t.Fatal(err)
	}
	var ports []string
	for _, c := range truth[strings.TrimSuffix(filepath.Base(path), ".pcap")].Connections {
		if port := strconv.Itoa(c.ServerPort); c.Protocol == "dist" && !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	return ports
}
