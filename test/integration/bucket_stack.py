"""A real S3 server and the faulty proxy before it, for tests and benches in another language: `python bucket_stack.py FOLDER`.

Prints one line of JSON with addresses and keys. Each line of its standard input is answered with one: {"keys": "r1/live/"} gives
{key: [size, Unix seconds]} below that, {"put": [KEY, SIZE]} puts noise, anything else is the proxy's (faulty_proxy.py). It ends with
its input."""
import json
import os
import sys

from bucket import READER_KEYS, RELAY_KEYS, ROOT_KEYS, Store
from faulty_proxy import FaultyProxy


def listed(store, below):
    pages = store.client().get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=store.prefix + below)
    return {each["Key"][len(store.prefix):]: [each["Size"], each["LastModified"].timestamp()]
            for page in pages for each in page.get("Contents", [])}


def answer(store, proxy, told):
    if "keys" in told:
        return listed(store, told["keys"])
    if "put" in told:
        key, size = told["put"]
        store.client().put_object(Bucket=store.bucket, Key=store.prefix + key, Body=os.urandom(size))
        return {}
    return proxy.set(**told)


def main(folder):
    with Store(folder) as store, FaultyProxy(store.port) as proxy:
        print(json.dumps({"url": store.url, "endpoint": store.endpoint, "proxy": proxy.endpoint, "relay": store.relay,
                          "keys": {"relay": RELAY_KEYS, "reader": READER_KEYS, "root": ROOT_KEYS}}), flush=True)
        for line in sys.stdin:
            print(json.dumps(answer(store, proxy, json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
