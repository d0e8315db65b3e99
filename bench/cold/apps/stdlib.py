# SPDX-License-Identifier: Apache-2.0
"""A function that imports much of the standard library, as scripts of any size do."""
import os
import time
import uuid

import modal

WINDOW = int(os.environ.get("BENCH_WINDOW", "300"))
MODULES = """
    argparse bz2 calendar cgi codeop compileall concurrent.futures configparser csv ctypes dbm
    decimal difflib dis doctest email.mime.multipart ensurepip filecmp fileinput fractions ftplib
    getpass gettext glob graphlib html.parser http.client http.cookiejar http.server imaplib
    importlib.metadata ipaddress json.tool lib2to3.refactor logging.config lzma mailbox mimetypes
    modulefinder multiprocessing.managers netrc nntplib optparse pdb pickletools pkgutil platform
    plistlib poplib pprint profile pstats pyclbr pydoc queue quopri sched secrets shelve smtplib
    sqlite3 ssl statistics symtable sysconfig tarfile telnetlib timeit tokenize tomllib trace
    tracemalloc unittest.mock urllib.request urllib.robotparser venv wave
    wsgiref.simple_server xml.dom.minidom xml.etree.ElementTree xml.sax.expatreader
    xmlrpc.server zipapp zipfile zoneinfo
""".split()

app = modal.App("bench-cold-stdlib", image=modal.Image.debian_slim(python_version="3.11"))

if not modal.is_local():
    import importlib
    import warnings

    warnings.simplefilter("ignore")  # some of them are deprecated
    LOADED = [importlib.import_module(name) for name in MODULES]
INIT = {"init": uuid.uuid4().hex, "init_at": time.time()}


@app.function(enable_memory_snapshot=True, scaledown_window=WINDOW)
def run():
    import hashlib

    names = " ".join(module.__name__ for module in LOADED)
    return {**INIT, "entered": time.time(), "output": hashlib.sha256(names.encode()).hexdigest()}
