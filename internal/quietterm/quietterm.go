// Package quietterm keeps programs from asking the terminal for its background.
//
// Bubble Tea asks at the start of every program that it is linked into, whatever
// that is about to do, and waits for seconds for terminals that do not answer.
// Packages are initialised in the order of their import paths, as far as they do
// not depend on one another, so this one comes before it and answers.
package quietterm

import "github.com/charmbracelet/lipgloss"

func init() { lipgloss.SetHasDarkBackground(true) }
