# shellcheck shell=bash
# What a container of `gpu-shell` does before the command: bash -c THIS gpuenv UNSEEN MARK UMASK PASSWD GROUP COMMAND...
# PASSWD and GROUP name the caller, or are empty. UNSEEN is the exit code where MARK, a file of the work folder, is not
# there: then it is another folder than the caller's, and nothing may run in it.

# A shared folder of a virtual machine may come to know of a new file a moment later.
for _ in {1..20}; do
    [ ! -e "$2" ] || break
    sleep 0.1
done
[ -e "$2" ] || exit "$1"
rm -f -- "$2" 2>/dev/null
umask "$3"
# Above the image's own, as the first line with a number is the one that counts.
for name in passwd group; do
    { lines=$4$'\n'$(</etc/$name); [ -z "$4" ] || echo "$lines" >/etc/$name; } 2>/dev/null
    shift
done
shift 3

# Without what the image knows of the caller's terminal, full screen programs do not start.
known=terminfo/${TERM:0:1}/$TERM
if [ -t 0 ] && [ ! -e "/lib/$known" ] && [ ! -e "/etc/$known" ] && [ ! -e "/usr/share/$known" ]; then
    export TERM=xterm-256color
fi

# Nobody could continue what Ctrl-Z stops; a prompt sees to it by itself.
[ "${!#}" = --norc ] || trap '' TSTP

# They are told at once, at a prompt and in scripts, what else ends in a riddle.
command_not_found_handle() {
    echo "bash: $1: command not found" >&2
    case "$1" in
    git | curl | wget | ssh | sudo | vi | vim | nano | emacs | less | man)
        echo "gpuenv: $1 is not in this environment; use it outside of it, on the same folder" >&2 ;;
    esac
    return 127
}
apt-get() {
    echo "gpuenv: apt-get installs nothing here: the environment is pinned, and its user may change nothing in it" >&2
    return 100
}
apt() { apt-get; }
pip() {
    # An environment of the user's own, or a folder, is another matter.
    if [[ " $* " == *" install "* && -z ${VIRTUAL_ENV-} && ! " $* " =~ \ (-t|--(target|prefix|root))[\ =] ]]; then
        echo "gpuenv: what pip installs here ends with this shell, and only root may; ADD=requirements.txt lasts" >&2
    fi
    command pip "$@"
}
# (A bash in POSIX mode says that it takes no name with a hyphen, and goes on.)
export -f command_not_found_handle apt-get apt pip

exec "$@"
