"""How the engine's types are called in BigQuery's API, and the SQL that writes a value as the API does."""

NAMES = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), "INTEGER"),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "FLOAT"),
    "BOOLEAN": "BOOLEAN",
    "BLOB": "BYTES",
    "DATE": "DATE",
    "TIME": "TIME",
    "TIMESTAMP": "DATETIME",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "JSON": "JSON",
    "INTERVAL": "INTERVAL",
}
OPEN_VALUE, OPEN_ROW = "'{\"v\":'", "'{\"f\":['"


def field(name, kind):
    """Give a column's place in a schema."""
    told = {"name": name, "mode": "NULLABLE"}
    if kind.id == "list":
        return field(name, kind.children[0][1]) | {"mode": "REPEATED"}
    if kind.id == "struct":
        return told | {"type": "RECORD", "fields": [field(*child) for child in kind.children]}
    if kind.id == "decimal":
        precision, scale = (size for _, size in kind.children)
        return told | {"type": "NUMERIC" if scale <= 9 and precision - scale <= 29 else "BIGNUMERIC"}
    return told | {"type": NAMES.get(str(kind), "STRING")}


def row(names, kinds):
    """Give the expression of a row in JSON."""
    values = [f"{OPEN_VALUE} || {value(name, kind)} || '}}'" for name, kind in zip(names, kinds, strict=True)]
    return f"{OPEN_ROW} || {_with_commas(values)} || ']}}'"


def value(name, kind):
    """Give the expression of a value in JSON: text, or what nests."""
    if kind.id == "list":
        each = f"list_transform({name}, lambda x: {OPEN_VALUE} || {value('x', kind.children[0][1])} || '}}')"
        return f"coalesce('[' || array_to_string({each}, ',') || ']', '[]')"
    if kind.id == "struct":
        children = [(f'{name}."{child}"', inner) for child, inner in kind.children]
        return f"if({name} IS NULL, 'null', {row(*zip(*children, strict=True))})"
    return f"coalesce(CAST(to_json({_text(name, kind)}) AS VARCHAR), 'null')"


def _text(name, kind):
    text = f"CAST({name} AS VARCHAR)"
    if kind.id == "timestamp with time zone":
        return f"CAST(epoch_us({name}) AS VARCHAR)"
    if kind.id == "timestamp":
        return f"replace({text}, ' ', 'T')"
    if kind.id == "interval":
        parts = ", ".join(
            f"date_part('{part}', {name})" for part in ("year", "month", "day", "hour", "minute", "second")
        )
        return f"format('{{}}-{{}} {{}} {{}}:{{}}:{{}}', {parts})"
    if kind.id == "blob":
        return f"to_base64({name})"
    if kind.id in {"float", "double"}:
        infinite = f"if({name} > 0, 'Infinity', '-Infinity')"
        return f"CASE WHEN isnan({name}) THEN 'NaN' WHEN isinf({name}) THEN {infinite} ELSE {text} END"
    if kind.id == "decimal":
        return f"CASE WHEN contains({text}, '.') THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"
    return text


def _with_commas(values):
    return " || ',' || ".join(values)
