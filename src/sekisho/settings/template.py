"""The settings file that the first start writes: every default visible, as a comment."""

TEMPLATE = """\
# Settings of this Sekisho installation. All lines are optional; the values shown are the defaults.
# After a change: restart `sekisho up`. docs/reference/settings.md explains every key.

# language = "ja"            # language of notifications and lists: ja or en
# zone = "Asia/Tokyo"        # zone of syslog times without one, and of what is shown

[collect]
# host = "127.0.0.1"         # "0.0.0.0" or "::" to take logs from other machines (then set up TLS)
# http_port = 8088           # Splunk HEC, Elasticsearch _bulk, OTLP/HTTP, NDJSON
# syslog_udp_port = 5514     # 0 = off
# syslog_tcp_port = 5514
# syslog_tls_port = 0        # 6514 is the registered port; needs [collect.tls]
# max_body = 67108864        # bytes of one request after decompression
# max_record = 1048576       # bytes of one record
# min_free = 536870912       # answer 503 when less is free on the disk

# [collect.tls]
# certificate = "/etc/sekisho/server.pem"
# key = "/etc/sekisho/server.key"
# client_ca = ""             # with it, a client certificate stands for a token (mutual TLS)

[pipeline]
# absence_every = 60         # seconds between two looks for what is absent: silence, missing records

[enrich]
# country_mmdb = ""          # any file in MaxMind's format with country data
# asn_mmdb = ""              # any file in MaxMind's format with AS numbers
# [[enrich.networks]]
# path = "/etc/sekisho/vpn-ipv4.txt"   # one CIDR or AS number per line
# net_class = "vpn"                    # vpn, tor, relay, hosting, satellite, mobile, fixed
# name = "X4BNet VPN list"

[keep]
# hot_days = 400             # days for which events can be searched
# journal_years = 7          # years for which every record stays as it was received
# [[keep.sources]]           # another period for one source
# source = "squid"
# hot_days = 90
# [keep.archive]             # copies of sealed journal segments; either folder or bucket
# folder = "/mnt/archive"
# bucket = "sekisho-journal"
# endpoint = "https://s3.example.jp"
# credentials_file = "/etc/sekisho/s3-credentials"   # readable by the owner only
# lock_mode = "COMPLIANCE"
# lock_days = 2557           # Object Lock: nobody can delete them earlier

[notify]
# console_url = ""
# [[notify.webhooks]]
# url_file = "/etc/sekisho/slack-url"  # holds the URL; readable by the owner only
# language = "ja"
# min_severity = "medium"
# [[notify.mail]]
# host = "mail.example.jp"
# sender = "sekisho@example.jp"
# to = ["security@example.jp"]
# port = 587
# user = ""
# password_file = ""

[seal]
# interval = 60              # seconds; at most so long are new logs without a signed checkpoint
# origin = ""                # name of this log in its checkpoints; taken at the first start
# key_file = ""              # private key elsewhere, e.g. a systemd credential
# tsa_url = ""               # RFC 3161 time stamps
# [[seal.files]]             # where checkpoints are sent: a host that is taken over cannot take them back
# name = "worm"
# path = "/mnt/worm/sekisho-checkpoints"
# [[seal.witnesses]]         # another Sekisho, or any C2SP tlog-witness
# name = "osaka"
# url = "https://osaka.example:8088/witness"
# vkey = "osaka.example/witness+…"
# token_file = "/etc/sekisho/osaka-token"

# [[witness.logs]]           # logs of others that this installation cosigns
# vkey = "tokyo.example/sekisho+…"
[access]
# require_purpose = false    # true: each question must say what for (--purpose or --case)
# socket = ""                # where those ask who cannot read this folder; "" = run/ask/ask.sock here
# [[access.roles]]           # only the owner of this folder may ask, unless roles are named
# name = "analyst"
# users = ["hanako"]         # of the operating system, by name or number
# groups = []
# sources = ["okta", "squid"]  # empty = all
# raw = false                # the records as received
# sql = false
# export = false
# hunt = true
# longest_days = 30          # longest stretch of time of one question; 0 = any
"""
