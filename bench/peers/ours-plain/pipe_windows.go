package main

import _ "github.com/containerd/ttrpc/bench/pipe"
