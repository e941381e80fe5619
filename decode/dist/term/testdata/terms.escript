#!/usr/bin/env escript
%% Makes random terms of most types, and reads back how they were printed:
%%   terms.escript make FILE           terms in the external format, each after its size
%%   terms.escript check FILE TEXTS    TEXTS has a text for each, after its size; those
%%                                     of size 0 are passed over
main(["make", File]) ->
    rand:seed(exsss, {1, 2, 3}),
    Terms = [term(rand:uniform(6) - 1) || _ <- lists:seq(1, 2000)],
    ok = file:write_file(File, [sized(term_to_binary(T, [{minor_version, rand:uniform(2)}])) || T <- Terms]);
main(["check", File, Texts]) ->
    {ok, Bin} = file:read_file(File),
    {ok, Text} = file:read_file(Texts),
    compare(split(Bin), split(Text), 0).

sized(B) -> [<<(byte_size(B)):32>>, B].

split(<<N:32, B:N/binary, Rest/binary>>) -> [B | split(Rest)];
split(<<>>) -> [].

compare([], [], N) -> io:format("~b terms~n", [N]);
compare([_ | Bs], [<<>> | Ts], N) -> compare(Bs, Ts, N);
compare([B | Bs], [T | Ts], N) ->
    %% Without /utf8, wide characters in a binary are cut to bytes.
    Utf8 = re:replace(T, "<<\"((?:[^\"\\\\]|\\\\.)*)\">>", "<<\"\\1\"/utf8>>", [global, unicode, {return, list}]),
    {ok, Tokens, _} = erl_scan:string(Utf8 ++ "."),
    {ok, Term} = erl_parse:parse_term(Tokens),
    case binary_to_term(B) of
        Term -> compare(Bs, Ts, N + 1);
        Other -> io:format("~tp is printed as ~ts~n", [Other, T])
    end.

one_of(L) -> lists:nth(rand:uniform(length(L)), L).

many(N, F) -> [F() || _ <- lists:seq(1, rand:uniform(N) - 1)].

term(0) -> leaf(rand:uniform(12));
term(D) ->
    T = fun() -> term(D - 1) end,
    case rand:uniform(9) of
        1 -> list_to_tuple(many(6, T));
        2 -> many(6, T);
        3 -> [T() | T()];
        4 -> maps:from_list([{T(), T()} || _ <- lists:seq(1, rand:uniform(4) - 1)]);
        5 -> list_to_tuple([rand:uniform(3) || _ <- lists:seq(1, one_of([255, 256, 300]))]);
        _ -> term(0)
    end.

leaf(1) -> rand:uniform(256) - 1;
leaf(2) -> rand:uniform(1 bsl 31) - (1 bsl 30);
leaf(3) -> -rand:uniform(1 bsl 40);
leaf(4) -> rand:uniform(1 bsl 60);
leaf(5) -> list_to_atom(one_of(["ok", "Hello", "", "it's", "a b", [1087, 1088], [233], "a@b", "1a", "a\nb", "a\\b"]));
leaf(6) -> (rand:uniform() - 0.5) * math:pow(10, rand:uniform(60) - 30);
leaf(7) -> float(rand:uniform(1000));
leaf(8) -> one_of([<<"hi">>, <<>>, <<"a\"b\\c">>, <<1087/utf8, " ", 233/utf8>>, <<"x\ty\n">>]);
leaf(9) -> one_of(["abc", "a\"b", [1, 2, 3], [1087, 1088], [0], [255, 1], [$a, 1087]]);
leaf(10) -> one_of([[], {}, #{}]);
leaf(11) -> one_of([self(), make_ref(), hd(erlang:ports()), fun lists:map/2, fun() -> ok end]);
leaf(12) -> one_of([<<5:3>>, 1 bsl 100, -(1 bsl 3000), lists:duplicate(70000, 7), lists:seq(1, 300), binary:copy(<<1>>, 300)]).
