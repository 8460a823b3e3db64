#!/bin/sh
# Puts each queue's copies and leader where the cluster file says. Run it on
# linux, once the queues are declared:   sh 3-queues.sh
# Members are added before others are taken away, so nothing is lost. It may be run
# again, and with a node down it stops at the queues of that node.
set -eu

bin=${RABBITMQ_BIN:+$RABBITMQ_BIN/}

# lead VHOST QUEUE NODE: the node leads the queue
lead() {
	call=$(printf '{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"%s">>, queue, <<"%s">>)), To = %s, case amqqueue:qnode(Q) of To -> leads; _ -> case lists:member(To, [node(P) || P <- amqqueue:get_sync_slave_pids(Q)]) of true -> rabbit_mirror_queue_misc:transfer_leadership(Q, To); false -> unsynchronised end end.' "$1" "$2" "'$3'")
	said=$("${bin}rabbitmqctl" --quiet eval "$call")
	case $said in
	leads | "{migrated,"*) echo "$2: $3 leads" ;;
	*)
		echo "$2: $3 does not lead: $said" >&2
		exit 1
		;;
	esac
}

lead '/' 'master.plant1' 'rabbit@WIN1'

lead '/' 'master.plant2' 'rabbit@WIN2'

lead '/' 'master.plant3' 'rabbit@WIN3'

lead '/' 'master.plant4' 'rabbit@WIN4'
