"""teemate-hostd: the host daemon's command line."""

import argparse
import asyncio
import sys
from pathlib import Path

from enclave_host.config import load_config
from enclave_host.errors import HostError
from enclave_host.logs import start_logging

DEFAULT_CONFIG = Path("/etc/teemate/hostd.yaml")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="teemate-hostd",
        description="Build enclaves, grant leases on their compartments, recover and scrub them. In the foreground.",
    )
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="check the configuration and exit")
    options = parser.parse_args()
    try:
        config = load_config(options.config)
        if options.check:
            print(f"{options.config}: good, {len(config.pools)} pools")
            return 0
        start_logging(config.log_level)
        from enclave_host.daemon import serve  # what it imports takes longer than --check should

        asyncio.run(serve(config))
    except (HostError, OSError) as error:
        print(f"teemate-hostd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
