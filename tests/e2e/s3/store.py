# SPDX-License-Identifier: Apache-2.0
"""The process of s3_store.py: store.py BUCKET. Says in a line of JSON where it is and whose keys it
takes, then answers questions that come as lines, until there are no more."""
import base64
import json
import sys

import boto3
import moto.settings
from moto.server import ThreadedMotoServer

ALL = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def client(service, port, key, secret):
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def answer(store, bucket, question):
    verb = question["verb"]
    if verb == "put":
        body = base64.b64decode(question["body"])
        store.put_object(Bucket=bucket, Key=question["key"], Body=body)
        return True
    if verb == "get":
        try:
            body = store.get_object(Bucket=bucket, Key=question["key"])["Body"].read()
        except store.exceptions.NoSuchKey:
            return None
        return base64.b64encode(body).decode()
    listed = store.list_objects_v2(Bucket=bucket)
    return sorted(one["Key"] for one in listed.get("Contents", []))


def main(bucket):
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    users = client("iam", port, "first", "first")
    users.create_user(UserName="owner")
    users.put_user_policy(UserName="owner", PolicyName="all", PolicyDocument=json.dumps(ALL))
    keys = users.create_access_key(UserName="owner")["AccessKey"]
    store = client("s3", port, keys["AccessKeyId"], keys["SecretAccessKey"])
    store.create_bucket(Bucket=bucket)
    # Without versions it gives uploads in parts a version that it then does not know.
    store.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = 0  # from here on who asks is checked
    told = {"port": port, "key": keys["AccessKeyId"], "secret": keys["SecretAccessKey"]}
    print(json.dumps(told), flush=True)
    for line in sys.stdin:
        print(json.dumps({"answer": answer(store, bucket, json.loads(line))}), flush=True)


main(*sys.argv[1:])
