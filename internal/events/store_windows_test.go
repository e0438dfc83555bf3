package events

import (
	"os"
	"testing"
)

func checkMode(*testing.T, string, os.FileMode) {}
