"""How GitHub shows what the world holds: only the telling facts; shapes.py adds what else is required."""

import base64
from typing import Any

from tests.github.bare import Changed, Commit
from tests.github.merging import merge_state
from tests.github.state import Check, Comment, Person, Pull, Review, Status, Team, Token
from tests.github.world import World

Json = dict[str, Any]


def user(world: World, login: str) -> Json:
    person = world.people.get(login) or Person(login, 0)
    return {
        "login": person.login,
        "id": person.id,
        "node_id": person.node,
        "type": person.kind,
        "site_admin": False,
        "url": f"{world.api_url}/users/{login}",
        "html_url": f"{world.web_url}/{login}",
        "avatar_url": f"{world.web_url}/avatars/{person.id}",
    }


def organization(world: World) -> Json:
    kind = {"type": "Organization", "html_url": f"{world.web_url}/{world.owner}"}
    return {**user(world, world.owner), **kind, "url": f"{world.api_url}/users/{world.owner}"}


def team(world: World, it: Team) -> Json:
    url = f"{world.api_url}/orgs/{world.owner}/teams/{it.slug}"
    return {
        "id": it.id,
        "node_id": it.node,
        "slug": it.slug,
        "name": it.slug,
        "url": url,
        "html_url": f"{world.web_url}/orgs/{world.owner}/teams/{it.slug}",
        "members_url": f"{url}/members{{/member}}",
        "repositories_url": f"{url}/repos",
        "permission": "push" if it.collaborator else "pull",
        "privacy": "closed",
        "type": "organization",
    }


def repository(world: World) -> Json:
    url = world.repository_url
    return {
        "id": 1,
        "node_id": "R_00000001",
        "name": world.name,
        "full_name": world.full_name,
        "owner": organization(world),
        "private": world.settings.private,
        "url": url,
        "html_url": f"{world.web_url}/{world.full_name}",
        "clone_url": f"{world.web_url}/{world.full_name}.git",
        "default_branch": world.default_branch,
        "labels_url": f"{url}/labels{{/name}}",
        "pulls_url": f"{url}/pulls{{/number}}",
    }


def full_repository(world: World, token: Token | None) -> Json:
    here = world.settings
    switches = {
        "allow_auto_merge": here.allow_auto_merge,
        "allow_merge_commit": here.allow_merge_commit,
        "allow_squash_merge": here.allow_squash_merge,
        "allow_rebase_merge": here.allow_rebase_merge,
        "delete_branch_on_merge": here.delete_branch_on_merge,
    }
    role = world.people[token.login].role if token and token.kind == "user" else "read"
    is_app = token is not None and token.kind in {"app", "actions"}  # of an installation it says nothing
    writes = world.allowed(token, "contents", "write")
    may = {"admin": role == "admin", "push": writes and not is_app, "pull": not is_app}
    shown = {**repository(world), "visibility": "private" if here.private else "public", "permissions": may}
    return {**shown, **(switches if writes else {})}  # who may not push is not told


def _end(world: World, ref: str, sha: str) -> Json:
    label = f"{world.owner}:{ref}"
    return {"label": label, "ref": ref, "sha": sha, "repo": repository(world), "user": organization(world)}


def _head(world: World, it: Pull) -> Json:
    here = _end(world, it.head, it.head_sha)
    if it.fork is None:
        return here
    name = {"full_name": f"{it.fork}/{world.name}", "fork": True, "owner": user(world, it.fork), "id": 2}
    url = {"url": f"{world.api_url}/repos/{it.fork}/{world.name}"}
    fork = {**repository(world), **name, **url}
    return {**here, "label": f"{it.fork}:{it.head}", "repo": fork, "user": user(world, it.fork)}


def pull_simple(world: World, it: Pull) -> Json:
    url, issue = f"{world.repository_url}/pulls/{it.number}", f"{world.repository_url}/issues/{it.number}"
    page = f"{world.web_url}/{world.full_name}/pull/{it.number}"
    here = {"self": url, "html": page, "issue": issue, "comments": f"{issue}/comments"}
    here |= {"commits": f"{url}/commits", "statuses": f"{world.repository_url}/statuses/{it.head_sha}"}
    here |= {
        "review_comments": f"{url}/comments",
        "review_comment": f"{world.repository_url}/pulls/comments{{/number}}",
    }
    return {
        "id": 1000000 + it.number,
        "node_id": it.node,
        "number": it.number,
        "url": url,
        "html_url": page,
        "issue_url": issue,
        "comments_url": here["comments"],
        "commits_url": here["commits"],
        "statuses_url": here["statuses"],
        "review_comments_url": here["review_comments"],
        "review_comment_url": here["review_comment"],
        "title": it.title,
        "body": it.body,
        "state": it.state,
        "draft": it.draft,
        "user": user(world, it.author),
        "labels": [label(world, name) for name in it.labels],
        "requested_reviewers": [user(world, each) for each in it.reviewers],
        "requested_teams": [team(world, world.teams[each]) for each in it.teams],
        "head": _head(world, it),
        "base": _end(world, it.base, world.bare.sha(it.base) or it.base_sha),
        "created_at": it.at,
        "updated_at": it.at,
        "closed_at": it.closed_at,
        "merged_at": it.merged_at,
        "merge_commit_sha": it.merge_sha,
        "author_association": "MEMBER",
        "auto_merge": auto_merge(world, it),
        "_links": {key: {"href": value} for key, value in here.items()},
    }


def auto_merge(world: World, it: Pull) -> Json | None:
    wish = it.auto_merge
    if wish is None:
        return None
    text = {"commit_title": wish.headline or "", "commit_message": wish.body or ""}
    return {"enabled_by": user(world, wish.by), "merge_method": wish.method.lower(), **text}


def pull(world: World, it: Pull) -> Json:
    if it.state == "open":
        state = merge_state(world, it).lower()
        it.unsettled_for = max(0, it.unsettled_for - 1)
    else:
        state = "unknown"
    start = world.bare.sha(it.base) if it.state == "open" else it.base_sha
    files = world.bare.files(start or it.base_sha, it.head_sha)
    return {
        **pull_simple(world, it),
        "mergeable": None if state == "unknown" else state != "dirty",
        "mergeable_state": state,
        "merged": it.merged_at is not None,
        "merged_by": user(world, it.closed_by) if it.merged_at and it.closed_by else None,
        "comments": len(it.comments),
        "commits": len(world.bare.commits(it.base_sha, it.head_sha)),
        "additions": sum(each.additions for each in files),
        "deletions": sum(each.deletions for each in files),
        "changed_files": len(files),
        "maintainer_can_modify": False,
    }


def issue(world: World, it: Pull) -> Json:
    url = f"{world.repository_url}/issues/{it.number}"
    whole = pull_simple(world, it)
    links = {key: whole[key] for key in ("url", "html_url")}
    same = ("number", "title", "body", "state", "user", "labels", "created_at", "updated_at", "closed_at")
    return {
        **{key: whole[key] for key in same},
        "id": 2000000 + it.number,
        "node_id": it.node,
        "url": url,
        "html_url": whole["html_url"],
        "repository_url": world.repository_url,
        "comments": len(it.comments),
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "labels_url": f"{url}/labels{{/name}}",
        "closed_by": user(world, it.closed_by) if it.closed_by else None,
        "pull_request": {**links, "diff_url": None, "patch_url": None, "merged_at": it.merged_at},
    }


def label(world: World, name: str) -> Json:
    number = world.labels.get(name, 0)
    url = f"{world.repository_url}/labels/{name}"
    return {
        "id": number,
        "node_id": f"LA_{number}",
        "name": name,
        "url": url,
        "color": "ededed",
        "default": False,
    }


def review(world: World, it: Pull, each: Review) -> Json:
    url, page = (
        f"{world.repository_url}/pulls/{it.number}",
        f"{world.web_url}/{world.full_name}/pull/{it.number}",
    )
    links = {"html": {"href": page}, "pull_request": {"href": url}}
    return {
        "id": each.id,
        "node_id": f"PRR_{each.id}",
        "user": user(world, each.login),
        "body": each.body,
        "state": each.state,
        "commit_id": each.sha,
        "submitted_at": each.at,
        "html_url": f"{page}#pullrequestreview-{each.id}",
        "pull_request_url": url,
        "author_association": "MEMBER",
        "_links": links,
    }


def comment(world: World, it: Pull, each: Comment) -> Json:
    return {
        "id": each.id,
        "node_id": f"IC_{each.id}",
        "url": f"{world.repository_url}/issues/comments/{each.id}",
        "html_url": f"{world.web_url}/{world.full_name}/pull/{it.number}#issuecomment-{each.id}",
        "issue_url": f"{world.repository_url}/issues/{it.number}",
        "user": user(world, each.login),
        "body": each.body,
        "created_at": each.at,
        "updated_at": each.at,
        "author_association": "MEMBER",
    }


def app(world: World, slug: str) -> Json:
    return {
        "id": world.app_id(slug),
        "node_id": f"A_{world.app_id(slug)}",
        "slug": slug,
        "name": slug,
        "owner": organization(world),
        "html_url": f"{world.web_url}/apps/{slug}",
        "permissions": {},
    }


def check(world: World, each: Check) -> Json:
    return {
        "id": each.id,
        "node_id": f"CR_{each.id}",
        "head_sha": each.sha,
        "name": each.name,
        "url": f"{world.repository_url}/check-runs/{each.id}",
        "html_url": f"{world.web_url}/{world.full_name}/runs/{each.id}",
        "details_url": each.details_url,
        "external_id": each.external_id,
        "status": each.status,
        "conclusion": each.conclusion,
        "started_at": each.at,
        "completed_at": each.at if each.status == "completed" else None,
        "output": {"title": each.title, "summary": each.summary, "text": None, "annotations_count": 0},
        "check_suite": {"id": 1},
        "app": app(world, each.app),
        "pull_requests": [],
    }


def status(world: World, each: Status, *, simple: bool = False) -> Json:
    shown = {
        "id": each.id,
        "node_id": f"SC_{each.id}",
        "url": f"{world.repository_url}/statuses/{each.sha}",
        "state": each.state,
        "context": each.context,
        "description": each.description,
        "target_url": each.target_url,
        "created_at": each.at,
        "updated_at": each.at,
    }
    return shown if simple else {**shown, "creator": user(world, each.by)}


def commit(world: World, it: Commit) -> Json:
    author = dict(zip(("name", "email", "date"), it.author, strict=True))
    committer = dict(zip(("name", "email", "date"), it.committer, strict=True))
    url = f"{world.repository_url}/commits"
    known = [login_of(world, it.author[1]), login_of(world, it.committer[1])]
    return {
        "sha": it.sha,
        "node_id": f"C_{it.sha}",
        "url": f"{url}/{it.sha}",
        "html_url": f"{world.web_url}/{world.full_name}/commit/{it.sha}",
        "comments_url": f"{url}/{it.sha}/comments",
        "commit": {
            "author": author,
            "committer": committer,
            "message": it.message,
            "tree": {"sha": it.tree, "url": f"{world.repository_url}/git/trees/{it.tree}"},
            "url": f"{world.repository_url}/git/commits/{it.sha}",
        },
        "author": user(world, known[0]) if known[0] else None,
        "committer": user(world, known[1]) if known[1] else None,
        "parents": [
            {"sha": each, "url": f"{url}/{each}", "html_url": f"{url}/{each}"} for each in it.parents
        ],
    }


def login_of(world: World, address: str) -> str | None:
    """Give whose commit it is by its address, as far as GitHub could know."""
    name = address.partition("@")[0].partition("+")[2] or address.partition("@")[0]
    return name if name in world.people else None


def changed(world: World, each: Changed, head: str) -> Json:
    renamed = {"previous_filename": each.before} if each.before else {}
    page = f"{world.web_url}/{world.full_name}"
    return {
        "sha": each.blob,
        "filename": each.path,
        "status": each.status,
        "additions": each.additions,
        "deletions": each.deletions,
        "changes": each.additions + each.deletions,
        "patch": each.patch,
        "blob_url": f"{page}/blob/{head}",
        "raw_url": f"{page}/raw/{head}",
        "contents_url": f"{world.repository_url}/contents/?ref={head}",
        **renamed,
    }


def content(world: World, path: str, revision: str, text: bytes) -> Json:
    return {
        "type": "file",
        "encoding": "base64",
        "content": base64.encodebytes(text).decode(),
        "size": len(text),
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": world.bare.blob(revision, path),
        "url": f"{world.repository_url}/contents/{path}?ref={revision}",
        "git_url": None,
        "html_url": None,
        "download_url": None,
        "_links": {"self": world.repository_url, "git": None, "html": None},
    }


def ref(world: World, name: str, sha: str) -> Json:
    target = {"type": "commit", "sha": sha, "url": f"{world.repository_url}/git/commits/{sha}"}
    return {
        "ref": name,
        "node_id": f"REF_{name}",
        "url": f"{world.repository_url}/git/{name}",
        "object": target,
    }
