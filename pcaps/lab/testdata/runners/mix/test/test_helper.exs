# As tests of clusters begin: with EPMD, and a name for the node that runs them.
{_, 0} = System.cmd("epmd", ["-daemon"])
{:ok, _} = :net_kernel.start([:tester@localhost, :shortnames])
ExUnit.start()
