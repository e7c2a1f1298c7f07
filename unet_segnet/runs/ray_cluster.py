"""Trainings on Ray: Ray schedules, the run folders are the same."""

import copy
import os
import sys
import sysconfig
from pathlib import Path

from unet_segnet.errors import InputError, one_line
from unet_segnet.output.locks import HeldError
from unet_segnet.runs.folder import RunFolder
from unet_segnet.runs.job import Outcome, attempt

ROOT = Path(__file__).parents[2]
INHERITED = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS", "UNET_SEGNET_DATA")  # also by another machine's processes
RETRIES = 3  # of a run whose worker was lost; it goes on from its saved state


class RayCluster:
    """Hands runs to Ray: all of them at $RAY_ADDRESS or, where that is not set, as many as this machine does at once.

    A worker that is lost (killed, machine gone) costs what its run did since its last saved epoch: Ray starts the
    run again, and it goes on from there.

    Arguments:
        num_jobs: how many runs will be handed over.
        data: what the jobs take.
        options: the command's; `workers`, the processes of this machine, and `gpus_per_run` are used.

    Raises:
        InputError: Ray is not installed or cannot be reached, or this machine has fewer GPUs than a run is to have.
    """

    def __init__(self, num_jobs: int, data, options):
        try:
            import ray
        except ImportError as error:
            raise InputError(
                "`executor` ray needs Ray: install it with `pip install ray` (versions: requirements-ray.txt)"
            ) from error
        self.ray, self.options, self.running, self.ended = ray, options, {}, []
        variables = {name: os.environ[name] for name in INHERITED if name in os.environ}
        variables |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if path := python_path(ROOT):
            variables["PYTHONPATH"] = path
        cluster = "RAY_ADDRESS" in os.environ
        try:
            ray.init(
                address=None if cluster else "local",
                num_cpus=None if cluster else options.workers,
                runtime_env={"env_vars": variables},
                include_dashboard=None if cluster else False,
                log_to_driver=True,
            )
        except Exception as error:  # Ray raises many kinds, Exception itself among them
            raise InputError(f"Ray does not start or cannot be reached ({one_line(error)})") from error
        gpus, there = options.gpus_per_run, ray.cluster_resources().get("GPU", 0)
        if gpus is None:
            gpus = min(there, 1)
        elif gpus > there and not cluster:  # a cluster may grow; here Ray would wait for ever
            ray.shutdown()
            raise InputError(
                f"`gpus_per_run` {gpus:g}: Ray finds {there:g} GPUs on this machine; ask for no more, or leave it out"
            )
        at_once = min(options.workers, int(there / gpus) if gpus else options.workers)
        self.workers = max(num_jobs if cluster else at_once, 1)
        self.data = ray.put(data)  # once for all runs
        self.task = ray.remote(_attempt).options(num_cpus=1, num_gpus=gpus, max_retries=RETRIES)

    def start(self, job) -> None:
        """Hand a run over; what `force` throws away goes now, for Ray's second attempt is to go on from its first."""
        options = copy.copy(self.options)
        if options.force:
            options.force = False
            try:
                folder = RunFolder(options.out, job.spec)
                with folder.lock():
                    folder.clear()
            except HeldError as error:
                self.ended.append((job, Outcome("held", str(error))))
                return
            except (InputError, OSError) as error:
                self.ended.append((job, Outcome("failed", one_line(error))))
                return
        self.running[self.task.remote(job, self.data, options, sys.argv)] = job

    def wait(self):
        """Wait for the next run to end: which, and how."""
        if self.ended:
            return self.ended.pop(0)
        done, _ = self.ray.wait(list(self.running))
        job = self.running.pop(done[0])
        try:
            return job, self.ray.get(done[0])
        except self.ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            return job, Outcome("failed", f"{job.spec.group / job.spec.name}: {reason}")

    def close(self) -> None:
        """Leave Ray; runs that had not ended go on when they are started again."""
        self.ray.shutdown()


def python_path(root: Path) -> str:
    """$PYTHONPATH of Ray's processes, which begin in other folders.

    Arguments:
        root: where this package lies; left out where it is installed, for there they look anyway, and if they looked
            there first, what is installed would stand before Python's own modules.
    """
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return os.pathsep.join(filter(None, (None if str(root) in installed else str(root), os.environ.get("PYTHONPATH"))))


def _attempt(job, data, options, arguments):
    sys.argv = arguments  # the command that a result names, not that of Ray's process
    return attempt(job, data, options, plain=True)
