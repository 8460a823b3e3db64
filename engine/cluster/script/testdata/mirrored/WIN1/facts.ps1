# What WIN1 tells on its command line but not over HTTP, for
# engine cluster verify --facts DIR. Run in PowerShell as administrator on WIN1:
#   .\facts.ps1 | Out-File -Encoding ascii WIN1.facts
$ErrorActionPreference = "Stop"

$sbin = Get-ChildItem "$env:ProgramFiles\RabbitMQ Server" -Directory -Filter "rabbitmq_server-*" |
    Sort-Object { [version]($_.Name -replace "^rabbitmq_server-", "") } | Select-Object -Last 1 |
    ForEach-Object { Join-Path $_.FullName "sbin" }
& "$sbin\rabbitmqctl.bat" --quiet eval "lists:flatten(io_lib:format('node=~s cookie_hash=~s partition_handling=~w clock_ms=~w unresolved=~w', [node(), base64:encode(erlang:md5(atom_to_list(erlang:get_cookie()))), application:get_env(rabbit, cluster_partition_handling, undefined), erlang:system_time(millisecond), [H || H <- ['WIN1','WIN2','WIN3','WIN4','linux'], element(1, inet:gethostbyname(H)) =/= ok]]))."
exit $LASTEXITCODE
