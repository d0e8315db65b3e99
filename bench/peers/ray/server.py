# SPDX-License-Identifier: Apache-2.0
"""One Ray Serve replica on a Ray of its own. Run as: server.py PORT FOLDER"""
import signal
import sys

import fastapi
import handler
import ray
from ray import serve

api = fastapi.FastAPI()


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
@serve.ingress(api)
class Service:
    def __init__(self):
        self.answer_of = handler.load()

    @api.post("/answer")
    async def answer(self, question: dict):
        return self.answer_of(question["text"])


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, _node_ip_address="127.0.0.1",
             _temp_dir=sys.argv[2], log_to_driver=False, object_store_memory=100 << 20)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Service.bind())
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
