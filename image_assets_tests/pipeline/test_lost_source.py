"""A source that lies: empty, missing or half gone, it deletes nothing by itself; a source that only moved passes."""

import shutil

import pytest

from image_assets.core.errors import SourceError
from image_assets.pipeline.detect import RunOptions, look
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.reading import open_dataset
from image_assets.pipeline.run import run_dataset, update_shards
from image_assets.sources.folder import FolderSource
from image_assets_tests.images import image_bytes, make_settings_for, write_image

DELETES = RunOptions(allow_deletes=True)
COUNT = 20


@pytest.fixture
def raw(tmp_path):
    """Twenty images of different sizes in two folders of ten."""
    for number in range(COUNT):
        path = tmp_path / "raw" / "ab"[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(number) + bytes(number))
    return tmp_path / "raw"


@pytest.fixture
def tiny(tmp_path):
    """Settings over these images; keyword arguments are nested like the YAML file."""
    return lambda **more: make_settings_for(tmp_path, **more)


@pytest.fixture
def store(tmp_path):
    """What lies in the store, but for logs and locks: every path with its time of change, size and inode."""

    def tree():
        found = {}
        for path in sorted((tmp_path / "store").rglob("*")):
            if path.name != ".lock" and "logs" not in path.parts:
                status = path.stat()
                found[str(path)] = (status.st_mtime_ns, status.st_size, status.st_ino)
        return found

    return tree


def images(raw):
    return sorted(raw.rglob("*.jpg"), key=lambda path: (len(path.stem), path.stem))


def delete(raw, count):
    for path in images(raw)[:count]:
        path.unlink()


def empty(raw):
    delete(raw, COUNT)


def unmount(raw):
    shutil.rmtree(raw)
    raw.mkdir()


def unmount_half(raw):
    shutil.rmtree(raw / "a")


def leave_notes_alone(raw):
    unmount(raw)
    (raw / "README.txt").write_text("this disk is not mounted")


def lose_the_folder(raw):
    shutil.rmtree(raw)


def become_a_file(raw):
    shutil.rmtree(raw)
    raw.write_bytes(b"")


def become_a_dangling_link(raw):
    shutil.rmtree(raw)
    raw.symlink_to("nowhere")


def lose_just_too_many(raw):
    delete(raw, 7)


def become_another_folder(raw):
    unmount(raw)
    for number in range(COUNT):
        (raw / f"{number}.jpg").write_bytes(image_bytes(100 + number) + bytes(100 + number))


def half_renamed_half_deleted(raw):
    delete(raw, COUNT // 2)
    for path in images(raw):
        path.rename(path.with_name(f"renamed-{path.name}"))


LIES = [
    (empty, r"holds no image and the dataset holds 20: nothing is deleted"),
    (unmount, r"holds no image and the dataset holds 20: nothing is deleted"),
    (leave_notes_alone, r"holds no image and the dataset holds 20: nothing is deleted"),
    (unmount_half, r"lacks 10 of the images; the dataset holds 20 \(50%, allowed are 30%\): nothing is deleted"),
    (lose_just_too_many, r"lacks 7 of the images; the dataset holds 20 \(35%, allowed are 30%\)"),
    (become_another_folder, r"lacks 20 of the images; the dataset holds 20 \(100%, allowed are 30%\)"),
    (half_renamed_half_deleted, r"lacks 10 of the images; the dataset holds 20 \(50%, allowed are 30%\)"),
    (lose_the_folder, r"source folder .*raw does not exist; create it or correct the path"),
    (become_a_dangling_link, r"source folder .*nowhere does not exist; create it or correct the path"),
    (become_a_file, r"source .*raw is a file; name the folder that holds the images"),
]


@pytest.mark.parametrize(("lie", "says"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_source_that_lies_is_refused_nothing_is_written_and_it_can_come_back(tiny, raw, tmp_path, store, lie, says):
    run_dataset(tiny())
    before = store()
    raw.rename(tmp_path / "aside")
    shutil.copytree(tmp_path / "aside", raw)
    lie(raw)
    for attempt in (run_dataset, plan_dataset, lambda settings: update_shards(settings, ["0-of-4"])):
        with pytest.raises(SourceError, match=says):
            attempt(tiny())
    assert store() == before
    shutil.rmtree(raw) if raw.is_dir() else raw.unlink(missing_ok=True)
    (tmp_path / "aside").rename(raw)
    assert run_dataset(tiny()).counts.kept == COUNT
    assert store() == before


@pytest.mark.parametrize("lie", [empty, unmount_half, become_another_folder, half_renamed_half_deleted])
def test_a_confirmed_loss_is_carried_out(tiny, raw, lie):
    run_dataset(tiny())
    lie(raw)
    left = len(images(raw))
    assert plan_dataset(tiny(), DELETES).counts.wanted == left
    report = run_dataset(tiny(), DELETES)
    assert (report.counts.wanted, report.index.head.rows) == (left, left)
    # Confirmed once, it is no question any more: but an empty source is named each time.
    if left:
        assert run_dataset(tiny()).counts.kept == left
    else:
        with pytest.raises(SourceError, match="holds no image"):
            run_dataset(tiny())


@pytest.mark.parametrize(
    ("error", "min_lost", "deleted", "passes"),
    [
        (0.3, 3, 6, True),
        # Exactly the threshold is allowed, one more is not: 6 of 20 are 30 %.
        (0.3, 3, 7, False),
        (0.29, 3, 6, False),
        (0.0, 3, 2, True),
        (0.0, 3, 3, False),
        (0.0, 1, 1, False),
        (0.5, 3, 10, True),
        (0.5, 3, 11, False),
        (0.3, 12, 11, True),
        (0.3, 12, 12, False),
        (1.0, 3, 19, True),
        # Whatever the settings say, an empty source is asked about.
        (1.0, 3, 20, False),
        (1.0, 1000, 20, False),
    ],
)
def test_the_settings_say_how_much_may_go_without_a_question(tiny, raw, error, min_lost, deleted, passes):
    strict = tiny(checks={"lost_fraction": {"error": error, "min_lost": min_lost}})
    run_dataset(strict)
    delete(raw, deleted)
    assert look(strict).loss.blocks is not passes
    if passes:
        assert run_dataset(strict).counts.removed == deleted
    else:
        with pytest.raises(SourceError, match="nothing is deleted"):
            run_dataset(strict)


def test_a_loss_says_how_to_confirm_it(tiny, raw):
    run_dataset(tiny())
    unmount_half(raw)
    with pytest.raises(SourceError, match="check that the source is mounted and complete, or confirm with --allow-del"):
        run_dataset(tiny())


def test_small_losses_in_a_row_are_each_measured_on_what_is_left(tiny, raw):
    run_dataset(tiny())
    for _ in range(4):
        delete(raw, len(images(raw)) // 4)
        assert run_dataset(tiny()).counts.removed > 0
    assert len(images(raw)) == 7


def test_all_files_renamed_is_no_loss_and_decodes_nothing(tiny, raw):
    before = run_dataset(tiny())
    for path in images(raw):
        path.rename(path.with_name(f"renamed-{path.name}"))
    assert look(tiny()).loss.numbers["lost_images"] == 0
    report = run_dataset(tiny())
    assert (report.counts.moved, report.counts.removed, report.counts.decoded) == (COUNT, COUNT, 0)
    assert report.index.head.rows == before.index.head.rows


def test_a_renamed_folder_is_no_loss(tiny, raw):
    run_dataset(tiny())
    (raw / "a").rename(raw / "c")
    assert run_dataset(tiny()).counts.moved == COUNT // 2


def test_touched_edited_and_relabelled_images_are_no_loss(tiny, raw, tmp_path):
    run_dataset(tiny())
    for number, path in enumerate(images(raw)):
        path.write_bytes(image_bytes(200 + number))
    labels = {"kind": "file", "path": "labels.csv"}
    (tmp_path / "labels.csv").write_text("filename,label\na/0.jpg,x\n")
    assert look(tiny(labels=labels)).loss.numbers["lost_images"] == 0
    assert run_dataset(tiny(labels=labels)).counts.changed == COUNT


def test_many_new_images_do_not_hide_that_old_ones_are_gone(tiny, raw):
    run_dataset(tiny())
    delete(raw, 10)
    for number in range(100):
        (raw / f"new{number}.jpg").write_bytes(image_bytes(300 + number) + bytes(300 + number))
    with pytest.raises(SourceError, match="lacks 10 of the images; the dataset holds 20"):
        run_dataset(tiny())


def test_one_copy_stands_for_one_lost_image_of_its_size_alone(tiny, raw):
    for path in images(raw):
        path.write_bytes(image_bytes(int(path.stem)).ljust(3000, b"\0"))
    run_dataset(tiny())
    delete(raw, 10)
    (raw / "new.jpg").write_bytes(image_bytes(50).ljust(3000, b"\0"))
    assert look(tiny()).loss.numbers["lost_images"] == 9


@pytest.mark.parametrize("num_shards", [1, 3, 7, 64])
def test_a_shrunken_source_is_refused_also_while_the_number_of_shards_changes(tiny, raw, store, num_shards):
    run_dataset(tiny())
    before = store()
    unmount_half(raw)
    with pytest.raises(SourceError, match=r"lacks 10 of the images; the dataset holds 20 \(50%"):
        run_dataset(tiny(num_shards=num_shards))
    assert store() == before
    report = run_dataset(tiny(num_shards=num_shards), DELETES)
    assert (report.index.head.rows, report.counts.decoded) == (10, 0)


def test_a_renamed_source_is_no_loss_also_while_the_number_of_shards_changes(tiny, raw):
    before = run_dataset(tiny())
    for path in images(raw):
        path.rename(path.with_name(f"renamed-{path.name}"))
    report = run_dataset(tiny(num_shards=7))
    assert (report.counts.decoded, report.index.head.rows) == (0, before.index.head.rows)


def test_a_shrunken_source_is_refused_after_half_of_a_change_of_the_number_of_shards(tiny, raw, store):
    run_dataset(tiny())
    update_shards(tiny(num_shards=2), ["0-of-2"])
    before = store()
    unmount_half(raw)
    with pytest.raises(SourceError, match="lacks 10 of the images; the dataset holds 20"):
        update_shards(tiny(num_shards=2), ["1-of-2"])
    assert store() == before


def test_failed_images_count_as_held_and_a_lost_one_among_them_as_lost(tiny, raw):
    lenient = tiny(checks={"failed_fraction": {"error": 1.0}})
    for path in images(raw)[:10]:
        path.write_bytes(path.read_bytes()[: 100 + int(path.stem)])
    run_dataset(lenient)
    delete(raw, 10)
    with pytest.raises(SourceError, match="lacks 10 of the images; the dataset holds 20"):
        run_dataset(lenient)


def test_a_first_run_loses_nothing(tiny, raw):
    assert look(tiny()).loss is None
    delete(raw, 19)
    assert run_dataset(tiny()).index.head.rows == 1


def test_the_last_image_of_a_tiny_dataset_is_asked_about(tiny, raw):
    delete(raw, 19)
    run_dataset(tiny())
    delete(raw, 1)
    with pytest.raises(SourceError, match="holds no image and the dataset holds 1: nothing is deleted"):
        run_dataset(tiny())


def test_one_image_for_another_in_a_dataset_of_one_is_no_question(tiny, raw):
    delete(raw, 19)
    run_dataset(tiny())
    delete(raw, 1)
    write_image(raw, "a/other.jpg", 70)
    assert run_dataset(tiny()).counts.removed == 1


def test_links_to_a_target_that_is_gone_are_failed_images_and_no_deletion(tiny, raw, tmp_path):
    (tmp_path / "disk").mkdir()
    for path in images(raw):
        path.rename(tmp_path / "disk" / path.name)
        path.symlink_to(tmp_path / "disk" / path.name)
    linked = tiny(source={"follow_symlinks": True}, num_shards=1)
    first = run_dataset(linked)
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    report = run_dataset(linked)
    # Half a shard of failed images is refused: readers keep what they had.
    assert not report.shards[0].published
    assert open_dataset(linked.store).digest == first.index.head.digest
    (tmp_path / "unmounted").rename(tmp_path / "disk")
    assert run_dataset(linked).counts.decoded == 0


def test_a_disk_that_goes_while_a_changed_recipe_is_on_its_way_deletes_nothing(tiny, raw, monkeypatch):
    first = run_dataset(tiny())
    read, left = FolderSource.read, [5]

    def unmounting(self, key, *arguments, **options):
        left[0] -= 1
        if not left[0]:
            shutil.rmtree(raw)
            raw.mkdir()
        return read(self, key, *arguments, **options)

    monkeypatch.setattr(FolderSource, "read", unmounting)
    with pytest.raises(SourceError, match="nothing is deleted"):
        run_dataset(tiny(output={"quality": 50}))
    assert open_dataset(tiny().store).digest == first.index.head.digest
