"""Runner, hooks, data loaders, checkpoints and inference on MMEngine."""
