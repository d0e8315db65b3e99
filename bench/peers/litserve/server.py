# SPDX-License-Identifier: Apache-2.0
"""One LitServe worker. Run as: server.py PORT"""
import sys

import handler
import litserve


class Api(litserve.LitAPI):
    def setup(self, device):
        self.answer = handler.load()

    def decode_request(self, request):
        return request["text"]

    def predict(self, text):
        return self.answer(text)

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Api(api_path="/answer"), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False,
               log_level="warning")
