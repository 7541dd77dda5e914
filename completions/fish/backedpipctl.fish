# fish completion for backedpipctl(1)

set -l commands status sessions session events watch reconnect close reload drain stop upgrade log-level keygen check

function __backedpipctl_sessions
    set -l words (commandline -opc)
    set -l socket
    if set -l at (contains -i -- --socket $words)
        set socket --socket $words[(math $at + 1)]
    end
    backedpipctl $socket --json sessions 2>/dev/null | string match -rg '"id": *"([0-9a-f]+)"'
end

complete -c backedpipctl -f
complete -c backedpipctl -l socket -rF -d 'The control socket of the daemon'
complete -c backedpipctl -l json -d 'Print results as JSON'
complete -c backedpipctl -s h -l help -d 'Print a summary'
complete -c backedpipctl -l version -d 'Print the version'

set -l first "not __fish_seen_subcommand_from $commands"
complete -c backedpipctl -n $first -a status -d 'The daemon at a glance'
complete -c backedpipctl -n $first -a sessions -d 'Every session, one a line'
complete -c backedpipctl -n $first -a session -d 'One session in full'
complete -c backedpipctl -n $first -a events -d 'Every event as it happens'
complete -c backedpipctl -n $first -a watch -d 'Sessions and peers on the whole screen'
complete -c backedpipctl -n $first -a reconnect -d 'Dial a new link now'
complete -c backedpipctl -n $first -a close -d 'End a session'
complete -c backedpipctl -n $first -a reload -d 'Read the configuration, keys and certificates again'
complete -c backedpipctl -n $first -a drain -d 'End the daemon after its last session'
complete -c backedpipctl -n $first -a stop -d 'End all sessions and the daemon'
complete -c backedpipctl -n $first -a upgrade -d 'Replace the daemon by the installed version'
complete -c backedpipctl -n $first -a log-level -d 'Set or print what is logged'
complete -c backedpipctl -n $first -a keygen -d 'Make a new key'
complete -c backedpipctl -n $first -a check -d 'Check a configuration file'

complete -c backedpipctl -n '__fish_seen_subcommand_from session reconnect close' -a '(__backedpipctl_sessions)'
complete -c backedpipctl -n '__fish_seen_subcommand_from reconnect' -l all -d 'Every session'
complete -c backedpipctl -n '__fish_seen_subcommand_from keygen' -l client -rF -d 'Create this file for the client'
complete -c backedpipctl -n '__fish_seen_subcommand_from keygen' -l server -rF -d 'Add the key to this file of a server'
complete -c backedpipctl -n '__fish_seen_subcommand_from drain' -l timeout -x -d 'Wait at most this long'
complete -c backedpipctl -n '__fish_seen_subcommand_from drain stop upgrade' -l no-wait -d 'Return at once'
complete -c backedpipctl -n '__fish_seen_subcommand_from log-level' -a 'trace debug info warning error off'
complete -c backedpipctl -n '__fish_seen_subcommand_from sessions watch' -l tunnel -x -d 'Only of this tunnel'
complete -c backedpipctl -n '__fish_seen_subcommand_from sessions watch' -l service -x -d 'Only of this service'
complete -c backedpipctl -n '__fish_seen_subcommand_from sessions watch' -l peer -x -d 'Only of this peer'
complete -c backedpipctl -n '__fish_seen_subcommand_from sessions watch' -l state -xa 'connected disconnected reconnecting' -d 'Only in this state'
complete -c backedpipctl -n '__fish_seen_subcommand_from sessions watch' -l sort -xa 'age since id state tunnel service peer identity generation in out unacked buffered rtt reconnects' -d 'In this order'
complete -c backedpipctl -n '__fish_seen_subcommand_from sessions watch' -l reverse -d 'Largest or newest first'
complete -c backedpipctl -n '__fish_seen_subcommand_from watch' -l interval -x -d 'How often to ask the daemon, in seconds'
complete -c backedpipctl -n '__fish_seen_subcommand_from check' -F
