-module(cluster_SUITE).
-export([all/0, talk/1]).

all() -> [talk].

%% Peers talk to each other, and do not connect by themselves.
talk(_) ->
    {ok, First, One} = peer(one),
    {ok, Second, Two} = peer(two),
    pong = erpc:call(One, net_adm, ping, [Two]),
    peer:stop(First),
    peer:stop(Second).

peer(Name) ->
    peer:start_link(#{name => Name, host => "localhost", args => ["-connect_all", "false"]}).
