"""The sentences of the two documents of 24 December 2024 that Sekisho answers, by their ID.

Source: letter of the Financial Services Agency (L) and the joint advisory of the National Police
Agency, NISC and the FSA on the attack group TraderTraitor (all others). The Japanese is the original
wording; the English is a translation.
"""

from __future__ import annotations

from sekisho.model import Text

ADVISORY: dict[str, Text] = {
    "L1": Text(
        ja="今回の注意喚起の内容を踏まえ、ウォレットに関する管理態勢を含めて、改めて速やかに自主点検を行うことを貴協会会員に対して求める",
        en="In the light of the advisory, each member is asked to promptly carry out the self-inspection again, including the management of its wallets.",
    ),
    "L2": Text(
        ja="とともに、その結果を取りまとめてご連絡いただくようにお願いします",
        en="The association is asked to compile the results and report them to the FSA.",
    ),
    "N1": Text(
        ja="ネットワークの不審な通信を検知した際には、速やかに金融庁等所管省庁、警察、内閣サイバーセキュリティセンター、セキュリティ関係機関等に情報提供いただきますようお願いします",
        en="On detecting suspicious network communication, promptly inform the competent ministries (FSA and others), the police, NISC and security organisations.",
    ),
    "T1.1": Text(
        ja="攻撃者は、第三者の名前や顔写真を悪用し、企業幹部を装うなどして、SNSで標的対象者にメッセージを送信します。",
        en="Using the name and face photo of a third person, posing as an executive for instance, the attacker messages the target on a social network.",
    ),
    "T1.2": Text(
        ja="標的となるのは、日本人だけではなく、国内外に居住する、外国人を含む暗号資産関連事業者の従業員です。また、ブロックチェーンやWeb3と呼ばれる技術の技術者も標的となり得ます。",
        en="Targets are employees of crypto-asset businesses, Japanese or foreign, living in Japan or abroad; blockchain and Web3 engineers too.",
    ),
    "T1.3": Text(
        ja="攻撃者は、アプローチの際に、標的対象者のプロフィールに掲載されている経歴やスキルを元に、関心を引くような問いかけを行います。例えば、ソフトウェア技術者であれば、「あなたからプログラミングを学びたい」「私のプログラムの不具合を直してほしい」といったものです。",
        en='The approach builds on the career and skills in the target\'s profile: "I want to learn programming from you", "please fix a bug in my program".',
    ),
    "T1.4": Text(
        ja="攻撃者は、異なるSNSや、メッセージングアプリでのやり取りを希望する場合があります。これは、攻撃者側が、送信したメッセージを受信者側の記録から消去できるサービスを利用したいことが理由として考えられます。",
        en="The attacker may want to move to another social network or messaging app, probably one where messages already sent can be erased from the receiver's records.",
    ),
    "T2.1": Text(
        ja="攻撃者は、標的対象者のPCをマルウェアに感染させようとします。",
        en="They try to infect the target's PC with malware.",
    ),
    "T2.2": Text(
        ja="例えば、攻撃者がGitHubにコミットした、「不具合があってうまく動かない」と主張する、シンプルなAPIへアクセスするプログラムを、標的対象者に実行させて、不具合を特定させようとすることが考えられます。",
        en='For example the target is made to run, and debug, a simple program on GitHub that accesses an API and "does not work well".',
    ),
    "T2.3": Text(
        ja="攻撃者は、APIの通信先に、正規のサーバーのほか、攻撃者が用意したサーバーを含めており、APIからの応答を処理する関数に、コード実行可能な関数を紛れ込ませて、マルウェアに感染させようとする可能性があります。",
        en="Beside legitimate servers the API destinations include the attacker's, and a function able to execute code is slipped into the function that handles the API's response.",
    ),
    "T2.4": Text(
        ja="他にも、様々な手口によって、標的対象者で不正なプログラムを実行させることでマルウェアに感染させようとします。",
        en="Various other tricks make the target run a malicious program.",
    ),
    "T3.1": Text(
        ja="攻撃者は、マルウェア感染させたPCに保存されている認証情報や、セッションクッキー等を窃取し、標的対象者になりすまして、暗号資産管理やブロックチェーン関連業務で利用するシステムにアクセスし、暗号資産等の窃取を行おうとする可能性があります。また、個人管理する暗号資産の窃取を狙うことも考えられます。",
        en="They steal credentials and session cookies stored on the infected PC, impersonate the target, and access systems used for crypto-asset management and blockchain work to steal crypto-assets; personally held crypto-assets too.",
    ),
    "T3.2": Text(
        ja="攻撃者は、システム構成を短期間で把握し、なりすました標的対象者が持つロールや権限に応じた、暗号資産の窃取が可能なポイント・手法を見つけ出そうとするおそれがあります。",
        en="They quickly learn the system's structure and look for a point and a method of theft that fits the role and rights of the person they impersonate.",
    ),
    "A1": Text(
        ja="通信先ドメインの登録日が数日～数週間前など、比較的新しくないか確認する。",
        en="Check whether the domains communicated with were registered only recently (days to weeks ago).",
    ),
    "A2": Text(
        ja="多要素認証を導入する。",
        en="Introduce multi-factor authentication.",
    ),
    "A3": Text(
        ja="業務付与期間に限定した必要最小限のアクセス範囲と権限を付与する。（業務付与期間終了後、速やかに縮小・削除する。）",
        en="Grant the least access and rights needed, limited to the period of the assignment (and promptly shrink or remove them when it ends).",
    ),
    "A4": Text(
        ja="事前申請または通常の業務時間帯・曜日ではない期間に行われたアクセスに関する認証ログ、アクセスログがないか監視する。（例：時差の大きい地域に居住する従業員が、通常は日本時間の夜や早朝にアクセスしているにもかかわらず、ある時期から日本時間の日中もアクセスしている等。）",
        en="Watch authentication and access logs for access outside the pre-applied, or usual, working hours and days (e.g. an employee in a far time zone, who usually works in the night or early morning of Japan, from some time on accesses in Japan's daytime too).",
    ),
    "A5": Text(
        ja="EDRやPC内のログと矛盾がないか監視する。（例：PCが電源OFFしている期間にアクセスしていないか。）",
        en="Watch for contradictions with the EDR's or the PC's own logs (e.g. access while the PC is powered off).",
    ),
    "A6": Text(
        ja="居住地以外の地域やVPNサービスからとみられるアクセスに関する認証ログ、アクセスログがないか監視する。",
        en="Watch the logs for access that seems to come from a region other than the residence, or from a VPN service.",
    ),
    "A7": Text(
        ja="貸与している業務用PC以外からとみられるアクセスに関する認証ログ、アクセスログがないか監視する。（例：UserAgentが通常と異なる。）",
        en="Watch the logs for access that seems to come from something other than the issued work PC (e.g. an unusual UserAgent).",
    ),
    "A8": Text(
        ja="退職した従業員のアカウントは速やかにロックするとともに、認証試行があった際は、速やかに検知・対処ができるようにしておく。",
        en="Promptly lock the accounts of employees who left, and be ready to detect and respond promptly to any authentication attempt on them.",
    ),
    "A9": Text(
        ja="従業員の理解と協力を得て、ダミーの認証情報をWebブラウザに記憶させる等しておき、認証試行があった際は、速やかに検知・対処ができるようにしておく。",
        en="With the employees' understanding and cooperation have dummy credentials remembered by web browsers, and be ready to detect and respond promptly to any attempt to use them.",
    ),
    "A10": Text(
        ja="PCのログ保存期間や、マルウェアに感染した後にログが消去されるリスクを考慮し、ログを集中的に保存・検索できる仕組みを構築し、異常の把握と速やかな対処ができるようにしておく。",
        en="Considering how long PCs keep logs, and that logs may be erased after an infection, build a system that stores and searches logs centrally, so that anomalies are seen and answered promptly.",
    ),
    "E1": Text(
        ja="事前に許可されている場合を除き、私用PCで機微な業務用システムにアクセスしない。",
        en="Do not access sensitive business systems from a private PC unless permitted beforehand.",
    ),
    "E2": Text(
        ja="SNSでアプローチを受けた際は、ビデオ通話を要求する。（複数回拒否する場合は不審と判断する。）",
        en="When approached on a social network, ask for a video call (several refusals: judge it suspicious).",
    ),
    "E3": Text(
        ja="アプローチ元のプロフィールや、SNSでのやり取りについて、スクリーンショットを保存する。",
        en="Keep screenshots of the approacher's profile and of the exchange.",
    ),
    "E4": Text(
        ja="ソースコードの確認や実行を急がせる兆候があれば、不審性を考慮する。",
        en="Signs of being rushed to review or run source code: consider it suspicious.",
    ),
    "E5": Text(
        ja="内容を確認せずにコードを実行せず、コードエディタで開いて、折り返し表示にする。",
        en="Do not run code without checking it; open it in a code editor with line wrapping on.",
    ),
    "E6": Text(
        ja="コードを実行する際は、業務用PCを使用しない、または仮想マシンを使用する。",
        en="When running code, do not use the work PC, or use a virtual machine.",
    ),
    "R1": Text(
        ja="被害拡大防止および適切な事後対策に必要となる原因究明のため、PCのマルウェア感染が疑われる場合は、原則として電源を入れたまま、",
        en="To stop the damage from spreading and to find the cause, when a PC is suspected of infection, as a rule keep its power on,",
    ),
    "R2": Text(
        ja="速やかにインターネットや業務用ネットワークから隔離し、",
        en="promptly isolate it from the internet and from the business network,",
    ),
    "R3": Text(
        ja="なるべく早く適切な保全措置を行ってください。（メモリダンプを含む揮発性情報の収集を優先的に行ってください。）",
        en="and preserve the evidence properly, as early as possible (volatile information, memory dump included, first).",
    ),
}
