# fish completion for backedpipd(8)

set -l first 'not __fish_seen_subcommand_from serve connect stdio'
set -l either '__fish_seen_subcommand_from serve connect stdio'
set -l daemon '__fish_seen_subcommand_from serve connect'
set -l dial '__fish_seen_subcommand_from connect stdio'
set -l stdio '__fish_seen_subcommand_from stdio'

complete -c backedpipd -f
complete -c backedpipd -l log-level -x -a 'trace debug info warning error off' -d 'What to log'

complete -c backedpipd -n $first -a serve -d 'Accept links'
complete -c backedpipd -n $first -a connect -d 'Connect applications to a server'
complete -c backedpipd -n $first -a stdio -d 'Connect standard input and output to a server'
complete -c backedpipd -n $first -l config -rF -d 'The configuration file'
complete -c backedpipd -n "not $stdio" -l supervise -d 'Start the daemon again when it dies'
complete -c backedpipd -n $first -l check -d 'Only check the configuration'
complete -c backedpipd -n $first -s h -l help -d 'Print a summary'
complete -c backedpipd -n $first -s V -l version -d 'Print the version'

complete -c backedpipd -n $daemon -l listen -x -d 'Where to accept links or applications'
complete -c backedpipd -n $either -l key -rF -d 'The key file'
complete -c backedpipd -n $either -l ca -rF -d 'The CAs to trust'
complete -c backedpipd -n $either -l cert -rF -d 'Our certificate'
complete -c backedpipd -n $either -l cert-key -rF -d 'The private key of our certificate'
complete -c backedpipd -n $either -l insecure -d 'No encryption and no authentication'
complete -c backedpipd -n $daemon -l control -rF -d 'Where to create the control socket'
complete -c backedpipd -n $either -l service -x -d 'A service'
complete -c backedpipd -n $dial -l peer -x -d 'Where the server is'
complete -c backedpipd -n $dial -l server-name -x -d 'The name that the server\'s certificate must have'
complete -c backedpipd -n $stdio -l connect-timeout -x -d 'Give up if there is no link within this time'
complete -c backedpipd -n $stdio -l quiet -d 'Print nothing about the link'
