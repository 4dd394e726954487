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
{ [ -z "$4" ] || echo "$4" >>/etc/passwd; [ -z "$5" ] || echo "$5" >>/etc/group; } 2>/dev/null
shift 5

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
    git | curl | wget | ssh | sudo | vi | vim | nano | emacs | less | man | make | gcc | g++)
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
    [[ " $* " != *" install "* ]] ||
        echo "gpuenv: what pip installs here ends with this shell, and only root may; ADD=requirements.txt lasts" >&2
    command pip "$@"
}
export -f command_not_found_handle apt-get apt pip

exec "$@"
