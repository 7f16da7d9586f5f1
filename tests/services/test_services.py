"""The services themselves: that the fixtures reach what ``make test-services`` started."""

from __future__ import annotations

import asyncio

import pytest

pytestmark = pytest.mark.services


def test_a_database_is_fresh_and_takes_many_connections(postgres_database: str) -> None:
    import asyncpg

    async def look() -> tuple[int, int]:
        url = postgres_database.replace("+asyncpg", "")
        connections = [await asyncpg.connect(url) for _ in range(40)]
        tables = await connections[0].fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        for connection in connections:
            await connection.close()
        return tables, len(connections)

    assert asyncio.run(look()) == (0, 40)


def test_a_store_in_a_bucket_keeps_what_is_written(s3_bucket: str) -> None:
    import fsspec

    with fsspec.open(f"{s3_bucket}/a/b.txt", "wb") as file:
        file.write(b"kept")
    files = fsspec.filesystem("s3").find(s3_bucket)
    assert files == [f"{s3_bucket.removeprefix('s3://')}/a/b.txt"]
    assert fsspec.filesystem("s3").cat(f"{s3_bucket}/a/b.txt") == b"kept"
