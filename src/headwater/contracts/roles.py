"""Which column plays which part: scored from its name (English and Chinese hints) and from its values.

Scores are small whole numbers that only rank; a part is given where the best score reaches the part's
threshold. The words are hints of ours, not a standard; every choice is written down with its reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from headwater.contracts.looks import Look, time_readings, words_of
from headwater.core.table import Kind

__all__ = [
    "best",
    "currency_hint",
    "event_score",
    "is_keepable",
    "is_personal",
    "is_total",
    "money_divisor",
    "money_score",
    "order_score",
    "price_score",
    "quantity_score",
    "sounds_like_money",
    "time_score",
    "user_score",
]

Hints = Mapping[str, int]
_ID = frozenset(
    {"id", "ids", "no", "num", "nr", "number", "key", "code", "hash", "guid", "uuid", "编号", "号"}
)
_USER: Hints = {
    "user": 6, "users": 6, "uid": 6, "customer": 6, "cust": 6, "member": 6, "client": 5, "account": 5, "player": 6, "buyer": 6,
    "subscriber": 6, "visitor": 5, "shopper": 6, "household": 5, "distinct": 5, "openid": 6, "unionid": 6, "donor": 5, "patient": 5,
    "fullvisitor": 5, "msno": 5, "uuid": 3, "device": 3, "cookie": 3, "anonymous": 3, "email": 2, "用户": 6, "会员": 6, "客户": 6,
    "顾客": 6, "买家": 6, "玩家": 6, "账号": 5, "账户": 5, "设备": 3,
}  # fmt: skip
_USER_FILL = frozenset(
    {"anonymous", "hashed", "unique", "pseudo", "app", "ad", "buyer", "raw", "main", "global"}
)
_USER_NOT = ("姓名", "昵称", "类型", "等级", "年龄", "性别", "来源", "生日", "地址", "名称")
_TIME: Hints = {
    "timestamp": 6, "datetime": 6, "time": 5, "eventtime": 6, "ts": 5, "date": 5, "invoicedate": 6, "orderdate": 6, "day": 3, "dt": 4,
    "at": 4, "when": 4, "created": 4, "occurred": 4, "ds": 3, "时间": 6, "日期": 5,
}  # fmt: skip
_TIME_MORE: Hints = {
    "event": 2,
    "order": 2,
    "invoice": 2,
    "purchase": 2,
    "transaction": 2,
    "occurred": 2,
    "created": 1,
    "支付": 2,
    "下单": 2,
    "交易": 2,
    "事件": 2,
}
_TIME_NOT = frozenset({
    "birth", "birthday", "dob", "expire", "expires", "expiry", "expiration", "updated", "modified", "end", "ended", "deleted",
    "delivery", "delivered", "due", "ship", "shipped", "shipping", "registered", "registration", "signup", "install", "first", "last",
    "ingested", "ingestion", "received", "loaded", "landed", "inserted", "synced", "known", "server", "生日", "更新", "到期", "注册", "发货",
})  # fmt: skip
_EVENT: Hints = {
    "event": 6,
    "action": 5,
    "activity": 4,
    "behavior": 5,
    "behaviour": 5,
    "operation": 4,
    "interaction": 4,
    "事件": 6,
    "行为": 6,
    "动作": 5,
    "操作": 4,
}
_EVENT_FILL = frozenset({"type", "name", "kind", "category", "类型", "名称"})
_EVENT_NOT = frozenset(
    {
        "status",
        "state",
        "page",
        "url",
        "path",
        "source",
        "medium",
        "channel",
        "category",
        "campaign",
        "状态",
        "页面",
    }
)
_HAPPENINGS = frozenset({
    "view", "click", "purchase", "buy", "cart", "add", "remove", "login", "logout", "signup", "register", "install", "open", "close",
    "play", "search", "pay", "payment", "order", "checkout", "refund", "subscribe", "subscription", "renew", "cancel", "start", "end",
    "session", "share", "like", "fav", "favorite", "comment", "impression", "visit", "launch", "download", "upload", "pageview", "page",
    "购买", "支付", "下单", "浏览", "点击", "加购", "登录", "注册", "收藏", "搜索", "退款", "分享",
})  # fmt: skip
_TOTAL: Hints = {
    "revenue": 6, "gmv": 6, "amount": 6, "amt": 6, "spend": 6, "spent": 6, "sales": 5, "total": 5, "subtotal": 4, "payment": 4, "paid": 4,
    "turnover": 5, "income": 4, "value": 4, "dollar": 4, "dollars": 4, "usd": 4, "eur": 4, "gbp": 4, "cny": 4, "rmb": 4, "jpy": 4,
    "money": 5, "ltv": 1, "gross": 3, "net": 3, "金额": 6, "销售额": 6, "收入": 5, "总价": 6, "实付": 6, "营收": 6,
}  # fmt: skip
_PRICE: Hints = {"price": 5, "unitprice": 6, "cost": 2, "单价": 6, "价格": 5, "售价": 5}
_MONEY_NOT = frozenset({
    "id", "ids", "count", "number", "num", "no", "of", "quantity", "qty", "tax", "discount", "discounts", "coupon", "shipping", "freight",
    "type", "currency", "method", "status", "date", "time", "rate", "pct", "percent", "percentage", "share", "ltv", "lifetime", "items",
    "code", "name", "balance", "折扣", "运费", "税", "方式", "时间", "日期", "余额", "编号", "单号",
})  # fmt: skip
_MINOR: Hints = {"cents": 100, "cent": 100, "pence": 100, "pennies": 100, "minor": 100, "micros": 1_000_000}
_QUANTITY: Hints = {
    "quantity": 6,
    "qty": 6,
    "units": 4,
    "pieces": 4,
    "items": 4,
    "count": 2,
    "数量": 6,
    "件数": 6,
    "个数": 5,
}
_ORDER: Hints = {
    "invoice": 6, "order": 6, "orders": 6, "transaction": 6, "txn": 6, "trx": 5, "trans": 5, "receipt": 6, "basket": 5, "bill": 5, "checkout": 4,
    "purchase": 4, "订单": 6, "单号": 6, "流水": 6, "交易": 5, "发票": 6,
}  # fmt: skip
_CURRENCY_WORDS = {
    "usd": "USD", "dollar": "USD", "dollars": "USD", "eur": "EUR", "euro": "EUR", "euros": "EUR", "gbp": "GBP", "pounds": "GBP", "cny": "CNY",
    "rmb": "CNY", "yuan": "CNY", "jpy": "JPY", "yen": "JPY", "inr": "INR", "rupees": "INR", "krw": "KRW", "brl": "BRL", "元": "CNY",
}  # fmt: skip
_KEEP = frozenset({
    "country", "region", "channel", "platform", "device", "os", "source", "medium", "campaign", "category", "plan", "brand", "language",
    "locale", "version", "store", "market", "segment", "tier", "currency", "product", "type", "browser", "network", "status", "department",
    "国家", "地区", "渠道", "平台", "来源", "类目", "品类", "品牌", "版本", "语言", "类型", "城市",
})  # fmt: skip
_PERSONAL = frozenset({
    "name", "first", "last", "surname", "fullname", "firstname", "lastname", "username", "nickname", "email", "mail", "phone", "mobile", "tel", "address", "street", "zip", "zipcode",
    "postcode", "postal", "ip", "ipaddress", "lat", "lon", "lng", "latitude", "longitude", "birth", "birthday", "dob", "age", "gender", "sex", "race", "ethnicity",
    "religion", "ssn", "passport", "password", "card", "iban", "salary", "health", "marital", "contact", "姓名", "昵称", "手机", "电话", "邮箱", "地址",
    "身份证", "生日", "年龄", "性别", "银行卡", "收货",
})  # fmt: skip
_KEEP_DISTINCT, _KEEP_HINTED_DISTINCT, _KEEP_LONGEST = 20, 500, 40


def best(looks: Iterable[Look], score: Callable[[Look], int], *, at_least: int) -> tuple[Look, ...]:
    """The columns that reach a threshold, best first; on a tie, the one further left."""
    scored = [(score(look), look) for look in looks]
    return tuple(look for points, look in sorted(scored, key=lambda s: -s[0]) if points >= at_least)


def user_score(look: Look) -> int:
    """How much a column looks like the user: a name such as ``customer_id``, and whole ids that repeat."""
    if (
        not look.n_filled
        or look.n_fraction
        or look.share(look.n_iso) > 0.5
        or look.longest > 200
        or look.filled_share < 0.3
    ):
        return 0
    words = look.words
    hint = _strength(words, _USER)
    if hint == 0:
        return 3 if words == ("id",) and look.rows_per_value >= 1.2 else 0
    other = [w for w in words if not _known(w, _USER) and w not in _ID and w not in _USER_FILL]
    points = hint + 2 * _has_id(words) - 5 * bool(other) - 9 * _mentions(words, _USER_NOT)
    points -= 3 * (look.n_filled >= 100 and look.rows_per_value < 1.02)
    points += look.rows_per_value >= 1.2
    return points - 5 * (look.n_filled >= 1_000 and look.n_distinct < 10)


def time_score(look: Look) -> int:
    """How much a column looks like the time of the event; numbers need a name that says so."""
    readings = time_readings(look)
    if not readings:
        return 0
    words = look.words
    hint = _strength(words, _TIME)
    is_number = look.is_numeric and readings[0] is not None
    if is_number and hint < 3:
        return 0
    clock = any(":" in e or "时" in e for e in look.examples) or (
        is_number and readings[0] in {"epoch_s", "epoch_ms", "epoch_us"}
    )
    points = 2 + hint + _strength(words, _TIME_MORE) + clock - 5 * _mentions(words, _TIME_NOT)
    return max(points, 1)


def event_score(look: Look) -> int:
    """How much a column looks like the name of what happened: few values, a name or values that are events."""
    words = look.words
    if (
        look.is_numeric
        or look.n_words > look.n_filled / 2
        or time_readings(look)
        or not 1 <= look.n_distinct <= 200
        or look.filled_share < 0.5
    ):
        return 0
    hint = _strength(words, _EVENT)
    other = [w for w in words if not _known(w, _EVENT) and w not in _EVENT_FILL]
    happens = sum(_mentions(words_of(e), _HAPPENINGS) for e in look.examples) > len(look.examples) / 2
    if look.rows_per_value < 1.2 and not happens:
        return 0
    named = hint - 3 * bool(other) if hint else 2 * (words in {("type",), ("name",), ("类型",)})
    if not named and (look.n_distinct < 2 or _mentions(words, _EVENT_NOT)):
        return 0
    return named + 3 * happens


def money_score(look: Look) -> int:
    """How much a column looks like an amount of money: a total, or a price."""
    return max(_amount(look, _TOTAL), price_score(look))


def price_score(look: Look) -> int:
    """How much a column looks like the price of one."""
    return _amount(look, _PRICE)


def sounds_like_money(look: Look) -> bool:
    """Whether a column's name is that of an amount or a price, whatever it holds."""
    return _strength(look.words, {**_TOTAL, **_PRICE}) > 0 and not _mentions(look.words, _MONEY_NOT)


def is_total(look: Look) -> bool:
    """Whether an amount is a row's total, not the price of one."""
    words = set(look.words)
    return _strength(look.words, _TOTAL) > 0 and "unit" not in words and not _strength(look.words, _PRICE)


def money_divisor(look: Look) -> int:
    """100 for an amount in cents, 1,000,000 for micros, else 1."""
    return max((_MINOR[w] for w in look.words if w in _MINOR), default=1)


def quantity_score(look: Look) -> int:
    """How much a column looks like how many were bought."""
    if not look.is_numeric or look.n_distinct < 2:
        return 0
    other = [
        w for w in look.words if not _known(w, _QUANTITY) and w not in {"item", "order", "product", "sold"}
    ]
    return _strength(look.words, _QUANTITY) - 4 * bool(other)


def order_score(look: Look) -> int:
    """How much a column looks like the key of an order."""
    if (
        not look.n_filled
        or look.n_fraction
        or time_readings(look) == (None,)
        or look.n_distinct < 2
        or look.filled_share < 0.2
    ):
        return 0
    words = look.words
    hint = _strength(words, _ORDER)
    other = [w for w in words if w.isascii() and w not in _ORDER and w not in _ID]
    is_key = _has_id(words) or (len(words) == 1 and words[0].isascii())
    few = look.n_filled >= 100 and look.rows_per_value > 1_000
    return hint + _has_id(words) if hint and is_key and not other and not few else 0


def is_keepable(look: Look) -> bool:
    """Whether to keep a column for cohorts: text of few, short values; never free text, never what looks personal."""
    words = look.words
    if (
        look.is_numeric
        or look.kind is not Kind.TEXT
        or is_personal(look)
        or look.share(look.n_money_text) > 0.5
        or any(e[0] in "{[" for e in look.examples)
        or time_readings(look)
    ):
        return False
    if (
        look.longest > _KEEP_LONGEST
        or look.share(look.n_words) > 0.3
        or look.n_distinct < 2
        or look.filled_share < 0.3
        or _has_id(words)
    ):
        return False
    if _mentions(words, _KEEP):
        return look.n_distinct <= _KEEP_HINTED_DISTINCT and (look.rows_per_value >= 1.5 or look.n_filled < 20)
    return look.n_distinct <= _KEEP_DISTINCT and look.rows_per_value >= 20


def is_personal(look: Look) -> bool:
    """Whether a column looks personal: by its name, or because values hold an @."""
    words = look.words
    personal = _PERSONAL - {"name"} if _mentions(words, _KEEP) else _PERSONAL
    return _mentions(words, personal) or look.n_at_sign > 0


def currency_hint(look: Look) -> str | None:
    """The currency a column's name gives away: ``price_eur``, ``dollar_value``, ``金额(元)``."""
    return next(
        (
            code
            for word, code in _CURRENCY_WORDS.items()
            if word in look.words or (not word.isascii() and word in look.column)
        ),
        None,
    )


def _amount(look: Look, hints: Hints) -> int:
    if not look.is_numeric or look.n_distinct < 2 or look.kind is Kind.BOOLEAN:
        return 0
    hint = _strength(look.words, hints)
    return hint - 6 * _mentions(look.words, _MONEY_NOT) + 2 * (look.n_fraction > 0) if hint else 0


def _strength(words: Sequence[str], hints: Hints) -> int:
    """The strongest hint among the words; Chinese hints count inside a word."""
    return max((points for hint, points in hints.items() for w in words if _says(w, hint)), default=0)


def _mentions(words: Sequence[str], hints: Iterable[str]) -> bool:
    return any(_says(w, hint) for hint in hints for w in words)


def _says(word: str, hint: str) -> bool:
    return word == hint or (not hint.isascii() and hint in word)


def _known(word: str, hints: Hints) -> bool:
    return any(_says(word, hint) for hint in hints)


def _has_id(words: Sequence[str]) -> bool:
    return _mentions(words, _ID | {"uid", "openid", "unionid"}) or any(
        w.endswith("id") and not w.isascii() for w in words
    )
