"""A process that loads folders from strangers and tells what came of each.

It reads a line of JSON for each folder from standard input, ``{"folder": ..., "fit":
...}``, and answers with a line: the probabilities, or the error, and whatever happened
that must not happen.
"""

import json
import os
import resource
import sys
import time
import warnings

TEXTS = [
    "The invoice is attached, please arrange the payment.",
    "",
    "A crash after the update! " * 40,  # longer than the model reads
    "störung 会议 🧾 \u202e aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
]
TARGETS = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]

MEMORY = 2 * 2**30  # what may be reserved beyond what the imports take
GROWTH = 400  # megabytes that loading a folder may use beside it

# What lies beside the folder, and pipes: nobody's business.
OUTSIDE = ("/outside.txt", "/outside.json", "/pipe", "/dev/zero", "/etc/passwd")
SECRET = "secret"  # a word of the files outside

# What a program does that runs code, speaks to others or leaves traces.
FORBIDDEN = (
    "pickle.find_class",
    "socket.connect",
    "socket.getaddrinfo",
    "socket.bind",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.chmod",
    "os.utime",
    "shutil.copyfile",
    "tempfile.mkstemp",
    "tempfile.mkdtemp",
    "builtins.input",
    "code.__new__",
)

events: list[str] = []


def watch(event, arguments):
    """Note what Python reports (an audit hook)."""
    if event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & (
            os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
        )
        pickled = isinstance(path, str) and path.endswith((".bin", ".pkl", ".pt"))
        elsewhere = isinstance(path, str) and path.endswith(OUTSIDE)
        if writes or pickled or elsewhere:
            events.append(f"open of {path!r}")
    elif event in FORBIDDEN:
        events.append(f"{event} {arguments!r}"[:200])


def answer(folder, *, fit):
    from skbert import ModelFormatError, TransformerMultiLabelClassifier

    try:
        if fit:
            clf = TransformerMultiLabelClassifier(
                folder,
                max_length=8,
                max_epochs=1,
                precision="fp32",
                device="cpu",
                random_state=0,
            ).fit(TEXTS, TARGETS)
        else:
            clf = TransformerMultiLabelClassifier.from_pretrained(
                folder, device="cpu", precision="fp32"
            )
    except ModelFormatError as error:
        return {"refused": str(error)}
    except ValueError as error:
        # The folder is all right, and these parameters do not suit it.
        if fit and "is beyond the" in str(error):
            return {"refused": str(error)}
        raise
    if SECRET in clf.tokenizer_.get_vocab():
        return {"lost": "a file beside the folder was read"}
    clf.predict_labels(TEXTS)
    return {"proba": clf.predict_proba(TEXTS).tolist()}


def megabytes():
    """Return how much memory is resident, and the most that ever was."""
    pages = int(open("/proc/self/statm").read().split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return pages * resource.getpagesize() // 2**20, most


def report(line):
    """Return what came of one folder."""
    before, peak = megabytes()
    events.clear()
    start = time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            result = answer(line["folder"], fit=line["fit"])
        except BaseException as error:
            result = {"lost": f"{type(error).__name__}: {error}"}
    # What fit itself says of texts that are cut and the like is meant for the user.
    result["warnings"] = [] if line["fit"] else [str(w.message) for w in warned]
    result["events"] = list(events)
    # Not what the clock says: others may have the processor.
    result["seconds"] = time.process_time() - start
    # Modules that were imported for folders before stay, and are no part of it.
    highest = megabytes()[1]
    result["megabytes"] = highest - before if highest > peak else 0
    return result


def main():
    # What is printed goes elsewhere, where it is looked for.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND), 1)
    os.dup2(1, 2)
    import torch

    import skbert.classifier  # noqa: F401

    torch.set_num_threads(1)
    for line in sys.stdin:
        if line == "limit\n":  # once all is imported that a good folder needs
            size = int(open("/proc/self/statm").read().split()[0])
            limit = size * resource.getpagesize() + MEMORY
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
            sys.addaudithook(watch)
            answers.write("{}\n")
        else:
            answers.write(json.dumps(report(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
