#!/bin/sh
# What linux tells on its command line but not over HTTP, for
# engine cluster verify --facts DIR. Run as root on linux:
#   sh facts.sh > linux.facts
set -eu

bin=${RABBITMQ_BIN:+$RABBITMQ_BIN/}
exec "${bin}rabbitmqctl" --quiet eval "lists:flatten(io_lib:format('node=~s cookie_hash=~s partition_handling=~w clock_ms=~w unresolved=~w', [node(), base64:encode(erlang:md5(atom_to_list(erlang:get_cookie()))), application:get_env(rabbit, cluster_partition_handling, undefined), erlang:system_time(millisecond), [H || H <- ['WIN1','WIN2','WIN3','WIN4','linux'], element(1, inet:gethostbyname(H)) =/= ok]]))."
