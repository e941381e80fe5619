package live

import "testing"

func TestContainerOf(t *testing.T) {
	const a, b = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
	for _, tt := range []struct{ name, cgroup, want string }{
		{"Docker", "0::/system.slice/docker-" + a + ".scope\n", a},
		{"Docker, control groups of version 1", "12:memory:/docker/" + a + "\n11:cpu,cpuacct:/docker/" + a + "\n", a},
		{"containerd below Kubernetes", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod8f1d.slice/cri-containerd-" + a + ".scope\n", a},
		{"containerd without systemd", "0::/kubepods/burstable/pod8f1d/" + a + "\n", a},
		{"CRI-O", "0::/kubepods.slice/crio-" + a + ".scope/container\n", a},
		{"Podman", "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + a + ".scope/container\n", a},
		{"one in another", "0::/docker/" + b + "/docker/" + a + "\n", a},
		{"none", "0::/system.slice/rabbitmq-server.service\n", ""},
		{"the root", "0::/\n", ""},
		{"nothing", "", ""},
		{"too short", "0::/docker/" + a[1:] + "\n", ""},
		{"too long", "0::/docker/0" + a + "\n", ""},
	} {
		if got := containerOf(tt.cgroup); got != tt.want {
			t.Errorf("%s: %q", tt.name, got)
		}
	}
}
