// SPDX-License-Identifier: Apache-2.0

// Sends requests that the signer of AWS's SDK has signed: PORT ID SECRET.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

type wanted struct{ service, method, target, body string }

func main() {
	host := "127.0.0.1:" + os.Args[1]
	keys := aws.Credentials{AccessKeyID: os.Args[2], SecretAccessKey: os.Args[3]}
	for _, one := range []wanted{
		{"lambda", "POST", "/2015-03-31/functions/greet/invocations?Qualifier=a%20b", `{"a": 1}`},
		{"bedrock", "GET", "/model/a%3Ab%2Fc/invoke", ""},
		{"s3", "PUT", "/bucket/a%20name%2B1/x?partNumber=1", "bytes"},
	} {
		signer := v4.NewSigner(func(options *v4.SignerOptions) {
			options.DisableURIPathEscaping = one.service == "s3"
		})
		request, err := http.NewRequest(one.method, "http://"+host+one.target, strings.NewReader(one.body))
		if err != nil {
			log.Fatal(err)
		}
		sum := sha256.Sum256([]byte(one.body))
		digest := hex.EncodeToString(sum[:])
		request.Header.Set("X-Amz-Content-Sha256", digest)
		err = signer.SignHTTP(context.Background(), keys, request, digest, one.service, "eu-west-1", time.Now())
		if err != nil {
			log.Fatal(err)
		}
		send(request)
	}
	// An address that is signed ahead.
	request, _ := http.NewRequest("GET", "http://"+host+"/bucket/x?X-Amz-Expires=60", nil)
	url, _, err := v4.NewSigner(func(options *v4.SignerOptions) {
		options.DisableURIPathEscaping = true
	}).PresignHTTP(context.Background(), keys, request, "UNSIGNED-PAYLOAD", "s3", "eu-west-1", time.Now())
	if err != nil {
		log.Fatal(err)
	}
	request, _ = http.NewRequest("GET", url, nil)
	send(request)
}

func send(request *http.Request) {
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_ = answer.Body.Close()
}
