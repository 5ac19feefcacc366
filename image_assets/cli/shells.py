"""`image-assets completion`: the script by which a shell completes command lines."""

import click

from image_assets.cli.help import command

_SHELLS = ("bash", "zsh", "fish")


@command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets your shell complete commands.

    Commands, options, their values, datasets and files are completed. Put the line for your shell into the file that it
    reads at its start:

    \b
    eval "$(image-assets completion bash)"      in ~/.bashrc
    eval "$(image-assets completion zsh)"       in ~/.zshrc
    image-assets completion fish | source       in ~/.config/fish/config.fish

    \b
    image-assets completion bash
    image-assets completion zsh
    image-assets completion fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        ctx.fail(f"this version of click knows no {shell}; known: {', '.join(_SHELLS)}")
    program = ctx.find_root()
    click.echo(kind(program.command, {}, "image-assets", "_IMAGE_ASSETS_COMPLETE").source())
