package manual

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// Shells returns the shells that [WriteCompletion] knows.
func Shells() []string { return []string{"bash", "zsh", "fish", "powershell"} }

// WriteCompletion writes the script that completes the commands of root in a
// shell. The script asks the program itself, so that it fits whatever version
// is installed.
func WriteCompletion(w io.Writer, root *cobra.Command, shell string) error {
	switch shell {
	case "bash":
		return root.GenBashCompletionV2(w, true)
	case "zsh":
		return root.GenZshCompletion(w)
	case "fish":
		return root.GenFishCompletion(w, true)
	case "powershell":
		return root.GenPowerShellCompletionWithDesc(w)
	default:
		return fmt.Errorf("no completion for the shell %q", shell)
	}
}
