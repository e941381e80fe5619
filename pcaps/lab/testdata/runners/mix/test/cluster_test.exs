defmodule ClusterTest do
  use ExUnit.Case

  test "peers talk to each other" do
    {:ok, first, one} = peer(:one)
    {:ok, second, two} = peer(:two)
    assert :erpc.call(one, :net_adm, :ping, [two]) == :pong
    :peer.stop(first)
    :peer.stop(second)
  end

  # Other peers do not connect by themselves, so that the connections are known.
  defp peer(name) do
    :peer.start_link(%{name: name, host: 'localhost', args: ['-connect_all', 'false']})
  end
end
