package ttrpc

import (
	"testing"

	gogodescriptor "github.com/gogo/protobuf/protoc-gen-gogo/descriptor"
)

// A message of no bytes is encoded all the same: it may lack a required field.
func TestRequiredFieldOfEmptyMessage(t *testing.T) {
	p, err := codec{}.newPayload(&gogodescriptor.UninterpretedOption_NamePart{})
	if err == nil {
		_, err = p.append(nil)
	}
	if err == nil {
		t.Error("no error for a message without its required fields")
	}
}
