defmodule Cluster.MixProject do
  use Mix.Project

  def project, do: [app: :cluster, version: "0.1.0", deps: []]
end
