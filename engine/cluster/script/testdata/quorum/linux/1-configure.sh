#!/bin/sh
# linux (rabbit@linux): the Erlang cookie, rabbitmq.conf and the plugins.
# Run as root on linux:   sh 1-configure.sh [COOKIE_FILE]
# COOKIE_FILE is a copy of another node's .erlang.cookie; without it this node
# keeps its own. It may be run again.
set -eu

home=${RABBITMQ_HOME:-/var/lib/rabbitmq}
etc=${RABBITMQ_ETC:-/etc/rabbitmq}
bin=${RABBITMQ_BIN:+$RABBITMQ_BIN/}
owner=${RABBITMQ_OWNER:-rabbitmq:rabbitmq}

host=${CHECK_HOST:-$(hostname -s)}
if [ "$host" != "linux" ]; then
	echo "this host calls itself $host, the cluster file says linux: the wrong host, or set NODENAME=rabbit@linux in $etc/rabbitmq-env.conf and run again with CHECK_HOST=linux" >&2
	exit 1
fi

if ! getent hosts "WIN1" >/dev/null; then
	echo "192.0.2.11 WIN1" >>"${HOSTS_FILE:-/etc/hosts}"
fi
if ! getent hosts "WIN2" >/dev/null; then
	echo "192.0.2.12 WIN2" >>"${HOSTS_FILE:-/etc/hosts}"
fi
if ! getent hosts "WIN3" >/dev/null; then
	echo "192.0.2.13 WIN3" >>"${HOSTS_FILE:-/etc/hosts}"
fi
if ! getent hosts "WIN4" >/dev/null; then
	echo "192.0.2.14 WIN4" >>"${HOSTS_FILE:-/etc/hosts}"
fi
if ! getent hosts "linux" >/dev/null; then
	echo "192.0.2.10 linux" >>"${HOSTS_FILE:-/etc/hosts}"
fi

# the service and root's rabbitmqctl read the same cookie
if [ $# -gt 0 ]; then
	for file in "$home/.erlang.cookie" "${ROOT_COOKIE:-$HOME/.erlang.cookie}"; do
		umask 077
		tr -d '\r\n ' <"$1" >"$file.new"
		chmod 400 "$file.new"
		mv -f "$file.new" "$file"
	done
	chown "$owner" "$home/.erlang.cookie"
fi
if [ -e "$home/.erlang.cookie" ]; then
	echo "cookie hash: $(tr -d '\r\n ' <"$home/.erlang.cookie" | openssl dgst -md5 -binary | base64)"
fi

mkdir -p "$etc"
if [ -e "$etc/rabbitmq.conf" ] && [ ! -e "$etc/rabbitmq.conf.before" ]; then
	cp -p "$etc/rabbitmq.conf" "$etc/rabbitmq.conf.before"
fi
umask 022
cat >"$etc/rabbitmq.conf" <<'END'
cluster_name = plants
listeners.tcp.default = 5672
management.tcp.port = 15672
cluster_partition_handling = pause_minority
cluster_formation.peer_discovery_backend = classic_config
cluster_formation.classic_config.nodes.1 = rabbit@WIN1
cluster_formation.classic_config.nodes.2 = rabbit@WIN2
cluster_formation.classic_config.nodes.3 = rabbit@WIN3
cluster_formation.classic_config.nodes.4 = rabbit@WIN4
cluster_formation.classic_config.nodes.5 = rabbit@linux
END
echo '[rabbitmq_management,rabbitmq_mqtt].' >"$etc/enabled_plugins"

if [ -n "${RESTART:-}" ]; then
	sh -c "$RESTART"
else
	systemctl restart rabbitmq-server
fi
"${bin}rabbitmqctl" await_startup --timeout 120
"${bin}rabbitmq-diagnostics" erlang_cookie_hash
echo "linux is configured"
