"""A bucket with what AWS puts around it, for the browser's tests: prints {"store", "env", "function"} once all runs, and ends
with its standard input.

  cloud_stage.py FOLDER [--function]

`store` is what --store takes, `env` the environments of "relay", "reader" and "admin", `config` the [cloud] section of the relay,
`function` the address of a CDN in front of the Lambda function, whose signing key is in FOLDER/token.key. A line "missing" on
standard input is answered with how many objects below STORE (the argument behind it) are not in the bucket, "stop" and
"start" break and mend the bucket."""
import json
import pathlib
import sys
from contextlib import ExitStack

import bucket
from lambda_shim import KEY_ID, Function, Shim, SigningKey
from test_lambda import TOKEN_KEY, environment, keys_of


def main():
    folder = pathlib.Path(sys.argv[1])
    with ExitStack() as stack:
        store = stack.enter_context(bucket.Store(folder))
        key_file = folder / "token.key"
        key_file.write_text(TOKEN_KEY + "\n", encoding="utf-8")
        key_file.chmod(0o600)
        told = {"store": store.url, "config": store.config(), "key": str(key_file),
                "env": {name: keys_of(store, keys) for name, keys in
                        (("relay", bucket.RELAY_KEYS), ("reader", bucket.READER_KEYS), ("admin", bucket.ROOT_KEYS))}}
        if "--function" in sys.argv:
            key = SigningKey()
            function = stack.enter_context(Function(folder, environment(store, MIHARU_CDN_KEY_ID=KEY_ID, MIHARU_CDN_KEY=key.pem)))
            told["function"] = stack.enter_context(Shim(function, store, bucket.READER_KEYS, key)).address
        print(json.dumps(told), flush=True)
        for line in sys.stdin:
            command, _, argument = line.strip().partition(" ")
            answer = "done"
            if command == "missing":
                recorded = {str(path.relative_to(argument)) for path in pathlib.Path(argument).glob("rec/*/*/*/*/*/*")}
                answer = len(recorded - {key.partition("/")[2] for key in store.keys("r1/rec/")})
            elif command == "stop":
                store.stop()
            elif command == "start":
                store.start()
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
