#!/bin/sh
# Puts each queue's copies and leader where the cluster file says. Run it on
# linux, once the queues are declared:   sh 3-queues.sh
# Members are added before others are taken away, so nothing is lost. It may be run
# again, and with a node down it stops at the queues of that node.
set -eu

bin=${RABBITMQ_BIN:+$RABBITMQ_BIN/}

# what COLUMN QUEUE: a column of the list of queues, lists in words
list=$("${bin}rabbitmqctl" --quiet list_queues --vhost '/' name leader members --no-table-headers)
what() {
	printf '%s\n' "$list" | awk -F '\t' -v c="$1" -v q="$2" '$1 == q { gsub(/[][,'"'"']/, " ", $c); print $c }'
}
leader=2 members=3

# place VHOST QUEUE NODE...: these nodes are members
place() {
	vhost=$1 queue=$2
	shift 2
	have=$(what "$members" "$queue")
	if [ -z "$have" ]; then
		echo "there is no quorum queue $queue: run engine cluster apply first" >&2
		exit 1
	fi
	for node in "$@"; do
		case " $have " in
		*" $node "*) ;;
		*) "${bin}rabbitmq-queues" add_member --vhost "$vhost" "$queue" "$node" ;;
		esac
	done
}

# trim VHOST QUEUE NODE...: no other node is a member
trim() {
	vhost=$1 queue=$2
	shift 2
	for node in $(what "$members" "$queue"); do
		case " $* " in
		*" $node "*) ;;
		*) "${bin}rabbitmq-queues" delete_member --vhost "$vhost" "$queue" "$node" ;;
		esac
	done
}

# lead VHOST QUEUE NODE: the node leads the queue
lead() {
	if [ "$(what "$leader" "$2")" = "$3" ]; then
		return
	fi
	call=$(printf '{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)), To = %s, case amqqueue:qnode(Q) of To -> leads; _ -> rabbit_quorum_queue:transfer_leadership(Q, To) end.' "$1" "$2" "'$3'")
	said=$("${bin}rabbitmqctl" --quiet eval "$call")
	case $said in
	leads | "{migrated,"*) echo "$2: $3 leads" ;;
	*)
		echo "$2: $3 does not lead: $said" >&2
		exit 1
		;;
	esac
}

place '/' 'master.plant1' 'rabbit@WIN1' 'rabbit@linux' 'rabbit@WIN2'
lead '/' 'master.plant1' 'rabbit@WIN1'
trim '/' 'master.plant1' 'rabbit@WIN1' 'rabbit@linux' 'rabbit@WIN2'

place '/' 'master.plant2' 'rabbit@WIN2' 'rabbit@linux' 'rabbit@WIN3'
lead '/' 'master.plant2' 'rabbit@WIN2'
trim '/' 'master.plant2' 'rabbit@WIN2' 'rabbit@linux' 'rabbit@WIN3'

place '/' 'master.plant3' 'rabbit@WIN3' 'rabbit@linux' 'rabbit@WIN4'
lead '/' 'master.plant3' 'rabbit@WIN3'
trim '/' 'master.plant3' 'rabbit@WIN3' 'rabbit@linux' 'rabbit@WIN4'

place '/' 'master.plant4' 'rabbit@WIN4' 'rabbit@linux' 'rabbit@WIN1'
lead '/' 'master.plant4' 'rabbit@WIN4'
trim '/' 'master.plant4' 'rabbit@WIN4' 'rabbit@linux' 'rabbit@WIN1'
