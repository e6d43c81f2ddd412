// Command openapi prints the OpenAPI 3.1 document of the cloud's door, from which the portal's client types are
// generated ("make schema"). It is the same that a running cloud serves at /api/v1/openapi.json.
//
// It reads nothing but the Go types and writes nothing but its output.
package main

import (
	"fmt"
	"os"

	"holdfast/cloud/api"
)

func main() {
	spec, err := api.Spec()
	if err == nil {
		_, err = os.Stdout.Write(spec)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "openapi:", err)
		os.Exit(1)
	}
}
