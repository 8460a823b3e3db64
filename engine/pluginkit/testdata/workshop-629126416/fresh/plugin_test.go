package main

import (
	"testing"

	"github.com/millrace/millrace/plugins/sdk/plugintest"
)

func TestExamples(t *testing.T) { plugintest.Run(t, plugin, "examples/*.yaml") }
