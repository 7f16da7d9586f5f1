"""One file a stage: each a plain function (config, inputs, store) -> ArtifactRef."""
