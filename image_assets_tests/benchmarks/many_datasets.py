"""`python -m image_assets_tests.benchmarks.many_datasets 20`: CPU seconds of many datasets in one code location."""

import argparse
import logging
import tempfile
import time
from pathlib import Path

_SETTINGS = """\
name: dataset_{number}
source: {{path: raw}}
store: store/{number}
num_shards: 16
image: {{width_px: 16, height_px: 16}}
features: {{extractor: none}}
workers: 0
"""


def main() -> None:
    """Build and resolve the definitions of many datasets, run each once, and time ticks for which nothing changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", type=int)
    datasets = parser.parse_args().datasets
    began = time.process_time()
    import dagster as dg

    from image_assets.defs.folder import folder_definitions
    from image_assets_tests.images import write_images

    print(f"imports   {time.process_time() - began:.2f} s")
    logging.getLogger("dagster").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as made, dg.instance_for_test() as instance:
        folder = Path(made)
        write_images(folder / "raw", 48)
        for number in range(datasets):
            (folder / f"{number:03}.yaml").write_text(_SETTINGS.format(number=number))
        began = time.process_time()
        defs = folder_definitions(folder)
        built = time.process_time()
        repository = defs.get_repository_def()
        repository.get_all_jobs()
        print(f"build     {built - began:.2f} s\nresolve   {time.process_time() - built:.2f} s")
        for what in ("first", "second", "third"):
            spent_s = 0.0
            for sensor in repository.sensor_defs:
                with dg.build_sensor_context(instance, repository_def=repository) as context:
                    began = time.process_time()
                    said = sensor.evaluate_tick(context)
                    spent_s += time.process_time() - began
                for event in said.asset_events:
                    instance.report_runless_asset_event(event)
                for request in said.run_requests or ():
                    job = defs.resolve_job_def(str(request.job_name))
                    assert job.execute_in_process(instance=instance, tags=request.tags).success
            print(f"{what:<9} {1000 * spent_s / datasets:.0f} ms a tick")


if __name__ == "__main__":
    main()
