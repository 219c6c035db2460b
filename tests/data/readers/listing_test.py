from hsjax.data.readers import listing


def test_files_below(tmp_path):
    for name in (
        "b.wav",
        "a.WAV",
        "._a.wav",
        ".b.wav",
        "c.txt",
        "x/y/d.wav",
        "x/y/z/e.wav",
        ".h/f.wav",
        "__MACOSX/g.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    names = [path.relative_to(tmp_path).as_posix() for path in listing.files(tmp_path, {".wav"}, 2)]
    assert names == ["a.WAV", "b.wav", "x/y/d.wav"]
    assert len(listing.files(tmp_path, {".wav"}, 0)) == 2
    assert listing.files(tmp_path / "nowhere", {".wav"}, 2) == ()


def test_links(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.wav").touch()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "out")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "gone.wav").symlink_to(tmp_path / "nothing")
    found = [path.relative_to(tmp_path).as_posix() for path in listing.files(tmp_path / "in", {".wav"}, 50)]
    assert found == ["in/gone.wav", "in/link/a.wav"]
