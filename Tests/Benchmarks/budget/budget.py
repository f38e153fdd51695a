#!/usr/bin/env python3
"""Measures every line of the budgets against Debian's containerd and runc, in turns, in one run on one machine.

usage: budget.py BINARIES [--json] [--only LINE[,LINE…]] [--quick]

BINARIES is the folder with berthd, its shim, berth-oci and berth-init. Needs root and the packages of
`scripts/install-packages test`. Prints a table, or with --json one object a line.
"""
import argparse
import json
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import traceback

import cri
import lines
import world

BUSYBOX = f"{world.REGISTRY}/busybox:v1"


def versions(binaries):
    def first(command):
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]
    return {"berthd": first([str(binaries / "berthd"), "--version"]), "containerd": first(["containerd", "--version"]),
            "runc": first(["runc", "--version"]), "kernel": platform.release()}


def show(row, as_json):
    if as_json:
        print(json.dumps(row), flush=True)
        return
    if "why_not" in row:
        print(f"{row['line']:<52} not measured: {row['why_not']}", flush=True)
        return
    met = "" if row.get("met") is None else ("met" if row["met"] else "MISSED")
    print(f"{row['line']:<52} {row['berth']:>9} {row['containerd']:>10} {row['unit']:<9} ratio {row['ratio']:>7}  "
          f"{row['target']:<22} {met}  {row.get('note', '')}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binaries", type=pathlib.Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer pods, smaller images")
    parser.add_argument("--only", default="", help="names of lines, separated by commas; see --list")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list:
        print("\n".join(lines.ALL))
        return 0
    chosen = [name for name in options.only.split(",") if name] or list(lines.ALL)
    for name in chosen:
        if name not in lines.ALL:
            parser.error(f"no line '{name}'; there are {', '.join(lines.ALL)}")
    messages, stubs, protos = cri.load_messages()
    here = world.World(options.binaries, cri.REPOSITORY)
    status = 0
    try:
        here.start()
        bench = lines.Bench(here, messages, stubs, options.quick)
        show_head(here.binaries, options.json)
        for name in chosen:
            try:
                for row in lines.ALL[name](bench):
                    show(row, options.json)
            except Exception as error:
                status = 1
                show({"line": name, "why_not": f"failed: {error}".replace("\n", " ")[:400]}, options.json)
                traceback.print_exc(file=sys.stderr)
                bench.clean()
    finally:
        here.close()
        shutil.rmtree(protos, ignore_errors=True)
    return status


def show_head(binaries, as_json):
    head = versions(binaries)
    if as_json:
        print(json.dumps({"versions": head}), flush=True)
    else:
        print("; ".join(f"{name}: {text}" for name, text in head.items()), flush=True)
        print(f"{'line':<52} {'berth':>9} {'containerd':>10}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
