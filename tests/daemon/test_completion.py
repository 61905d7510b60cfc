import subprocess  # noqa: TID251 - a real bash
from pathlib import Path

import pytest

from workgraph.commands.local import InstallCompletion
from workgraph.commands.parse import COMPLETE_VARIABLE, complete
from workgraph.daemon.completion import install_completion
from workgraph.graph.errors import UserError

PLACES = {
    "bash": ".local/share/bash-completion/completions/wg",
    "zsh": ".local/share/zsh/site-functions/_wg",
    "fish": ".config/fish/completions/wg.fish",
}


def a_command(shell: str) -> InstallCompletion:
    """What `wg --install-completion SHELL` is parsed to."""
    script = complete([], {COMPLETE_VARIABLE: f"source_{shell}"}).text
    assert COMPLETE_VARIABLE in script
    return InstallCompletion(shell=shell, script=script)


@pytest.mark.parametrize("shell", PLACES)
def test_the_script_is_where_the_shell_looks(tmp_path: Path, shell: str) -> None:
    """A second time says that it was there, and changes nothing."""
    env = {"HOME": str(tmp_path)}
    file = tmp_path / PLACES[shell]

    first = install_completion(a_command(shell), env)
    content = file.read_bytes()
    second = install_completion(a_command(shell), env)

    assert first.data.message == f"completion for {shell}: {file}"
    assert second.data.message == f"{first.data.message} (was there already)"
    assert content.startswith(a_command(shell).script.encode())
    assert file.read_bytes() == content
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [file]


def test_the_folders_of_the_environment_go_first(tmp_path: Path) -> None:
    """XDG folders are honoured, and bash-completion's own before them."""
    env = {
        "HOME": "/nowhere",
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    for shell in PLACES:
        install_completion(a_command(shell), env)
    own = {**env, "BASH_COMPLETION_USER_DIR": str(tmp_path / "own")}
    install_completion(a_command("bash"), own)

    assert {
        str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()
    } == {
        "data/bash-completion/completions/wg",
        "data/zsh/site-functions/_wg",
        "config/fish/completions/wg.fish",
        "own/completions/wg",
    }


def test_bash_takes_the_script(tmp_path: Path) -> None:
    """Sourced, it completes `wg` with a function of ours."""
    install_completion(a_command("bash"), {"HOME": str(tmp_path)})
    file = tmp_path / PLACES["bash"]

    said = subprocess.run(
        ["bash", "--norc", "-c", f"source {file} && complete -p wg"],
        check=True,
        capture_output=True,
        text=True,
    )

    assert said.stdout == "complete -o default -F _wg_completion wg\n"


def test_an_older_script_of_ours_is_replaced(tmp_path: Path) -> None:
    """An upgrade brings the new script."""
    file = tmp_path / PLACES["fish"]
    file.parent.mkdir(parents=True)
    file.write_text(f"old {COMPLETE_VARIABLE}")

    install_completion(a_command("fish"), {"HOME": str(tmp_path)})

    assert file.read_text() == a_command("fish").script


def test_a_file_of_somebody_else_s_stays(tmp_path: Path) -> None:
    """WireGuard's tool is called `wg`, too: its completion is not overwritten."""
    file = tmp_path / PLACES["fish"]
    file.parent.mkdir(parents=True)
    file.write_text("complete -c wg -a 'show showconf'\n")

    with pytest.raises(UserError, match="not workgraph's"):
        install_completion(a_command("fish"), {"HOME": str(tmp_path)})

    assert file.read_text() == "complete -c wg -a 'show showconf'\n"


def test_zsh_is_told_of_its_folder_only_when_needed(tmp_path: Path) -> None:
    """The hint about fpath goes once the folder is in it."""
    env = {"HOME": str(tmp_path)}
    folder = str((tmp_path / PLACES["zsh"]).parent)

    def hints(env: dict[str, str]) -> list[str]:
        notes = install_completion(a_command("zsh"), env).notes
        return [note for note in notes if "fpath" in note]

    assert f"fpath=('{folder}' $fpath)" in hints(env)[0]
    assert hints({**env, "FPATH": f"/x:{folder}"}) == []
    (tmp_path / ".zshrc").write_text(f"# hi\nfpath=({folder} $fpath)\n")
    assert hints(env) == []


def test_a_place_that_can_t_be_written_is_said(tmp_path: Path) -> None:
    """The message names the file, and the hint another way."""
    (tmp_path / ".config").write_text("a file in the way")

    with pytest.raises(UserError, match=r"wg\.fish can't be") as caught:
        install_completion(a_command("fish"), {"HOME": str(tmp_path)})

    assert "--show-completion" in caught.value.hint
